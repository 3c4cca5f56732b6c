// Command receipt-fields writes an entry into a receipt.
package main

import (
	"plastron/log"
	"plastron/log/proof"
)

func main() {
	r := new(log.Receipt)
	r.entry = []byte("never logged") // want r.entry undefined (cannot refer to unexported field entry)
	r.proof = proof.Proof{}          // want r.proof undefined (type *"plastron/log".Receipt has no field or method proof, but does have method Proof)
}
