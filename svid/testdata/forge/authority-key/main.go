// Command authority-key reaches for the CA's key.
package main

import "plastron/svid"

func main() {
	var a *svid.Authority
	_ = a.cas[0].signer  // want a.cas undefined (cannot refer to unexported field cas)
	_ = a.Key            // want a.Key undefined (type *svid.Authority has no field or method Key)
	_ = a.sign([]byte{}) // want a.sign undefined (type *svid.Authority has no field or method sign)
}
