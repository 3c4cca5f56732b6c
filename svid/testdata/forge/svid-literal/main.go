// Command svid-literal makes an SVID by hand.
package main

import (
	"crypto/x509"

	"plastron/svid"
)

func main() {
	_ = svid.SVID{certificate: new(x509.Certificate)} // want cannot refer to unexported field certificate in struct literal of type svid.SVID
}
