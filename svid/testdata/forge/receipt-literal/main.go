// Command receipt-literal makes a receipt by hand.
package main

import (
	"plastron/log"
	"plastron/log/proof"
)

func main() {
	_ = log.Receipt{
		[]byte("never logged"), // want implicit assignment to unexported field entry in struct literal of type "plastron/log".Receipt
		proof.Proof{},          // want implicit assignment to unexported field proof in struct literal of type "plastron/log".Receipt
	}
}
