// Command honest asks for an SVID as the gate does.
package main

import (
	"plastron/log"
	"plastron/svid"
)

func main() {
	var a *svid.Authority
	var r *log.Receipt
	var s *svid.SVID
	var err error
	s, err = a.Mint(r)
	_, _ = s, err
}
