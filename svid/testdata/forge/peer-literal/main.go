// Command peer-literal makes a verified peer by hand.
package main

import "plastron/svid"

func main() {
	var p svid.Peer
	p.logged.index = 7 // want p.logged undefined (cannot refer to unexported field logged)
	p.tbs = svid.TBS{} // want p.tbs undefined (type svid.Peer has no field or method tbs)
}
