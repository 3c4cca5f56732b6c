// Command mint-bytes asks for a signature on bytes of its own.
package main

import "plastron/svid"

func main() {
	var a *svid.Authority
	tbs, _ := a.Draft(svid.Draft{})
	a.Mint(tbs) // want cannot use tbs (variable of type []byte) as *"plastron/log".Receipt value in argument to a.Mint
}
