package witness_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http/httptest"
	"os"

	"plastron/log/proof"
	"plastron/log/witness"
)

// A log asks a witness, and a relying party believes both.
func Example() {
	dir, err := os.MkdirTemp("", "witness")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	_, logKey, _ := ed25519.GenerateKey(nil)
	_, witnessKey, _ := ed25519.GenerateKey(nil)

	log, _ := proof.NewLogSigner("log.acme.example/gate", logKey)
	server, err := witness.NewServer(witness.Config{
		Dir:  dir,
		Key:  witnessKey,
		Name: "witness.example",
		Logs: []witness.LogKey{{Origin: log.Name(), VKey: log.VKey()}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	front := httptest.NewServer(server.Handler())
	defer front.Close()

	policy, _ := proof.ParsePolicy([]byte("log " + log.VKey() + "\nwitness w " + server.VKey() + " " + front.URL + "\nquorum w\n"))
	client, _ := witness.NewClient(policy, policy.Witnesses()[0], nil)

	tree := proof.NewRange()
	tree.Append(proof.LeafHash([]byte("first")), nil)
	note, _ := log.Sign(proof.Checkpoint{Origin: log.Name(), Size: tree.Size(), Root: tree.Root()})
	lines, err := client.Cosign(context.Background(), 0, func(from, to uint64) ([]proof.Hash, error) {
		return nil, nil // from the empty tree there is nothing to prove
	}, note)
	if err != nil {
		fmt.Println(err)
		return
	}
	cosigned, err := policy.OpenCheckpoint(append(note, lines[0].Line...))
	fmt.Println(cosigned.Checkpoint().Size, cosigned.Witnesses(), err)
	// Output: 1 [w] <nil>
}
