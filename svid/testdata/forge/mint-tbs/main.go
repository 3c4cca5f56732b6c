// Command mint-tbs asks for a signature on an entry it has read, and on the
// receipt of another package.
package main

import "plastron/svid"

type receipt struct{}

func (receipt) Open() ([]byte, error) { return []byte("never logged"), nil }

func main() {
	var a *svid.Authority
	t, _ := svid.ParseTBS(nil)
	a.Mint(t)         // want cannot use t (variable of type *svid.TBS) as *"plastron/log".Receipt value in argument to a.Mint
	a.Mint(receipt{}) // want cannot use receipt{} (value of struct type receipt) as *"plastron/log".Receipt value in argument to a.Mint
}
