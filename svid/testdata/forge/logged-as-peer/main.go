// Command logged-as-peer takes what only the log said for what the CA said too.
package main

import (
	"time"

	"plastron/svid"
)

func main() {
	l, _ := svid.VerifyLogged(nil, nil, time.Time{})
	authorize(l) // want cannot use l (variable of type *svid.Logged) as *svid.Peer value in argument to authorize
}

func authorize(*svid.Peer) {}
