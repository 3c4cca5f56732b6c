// Command cosigned makes a checkpoint that no witness has seen.
package main

import "plastron/log/proof"

func main() {
	_ = proof.Cosigned{checkpoint: proof.Checkpoint{}} // want cannot refer to unexported field checkpoint in struct literal of type "plastron/log/proof".Cosigned
	_ = proof.NewCosigned()                            // want undefined: proof.NewCosigned
}
