package log_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"plastron/log"
	"plastron/log/proof"
)

// A log without witnesses, one entry with a record, and what its receipt says
// to whoever has the log policy.
func Example() {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := proof.NewLogSigner("log.example/gate", key)
	if err != nil {
		panic(err)
	}
	policy, err := proof.ParsePolicy([]byte("log " + signer.VKey() + "\nquorum none\n"))
	if err != nil {
		panic(err)
	}
	l, err := log.Open(context.Background(), log.Options{
		Dir: filepath.Join(dir, "data"), Lock: filepath.Join(dir, "lock"), Segment: 1 << 20,
		Signer: signer, Policy: policy,
	})
	if err != nil {
		panic(err)
	}
	defer l.Close()

	token := proof.LeafHash([]byte("what the entry uses up"))
	receipt, err := l.Append(context.Background(), []byte("an entry"),
		log.Conditions{Decided: l.Size(), Spent: []proof.Hash{token}}, []byte("the record of why"))
	if err != nil {
		panic(err)
	}
	entry, err := receipt.Open(policy)
	fmt.Printf("entry %d: %q, %v\n", receipt.Index(), entry, err)

	_, err = l.Append(context.Background(), []byte("another entry"),
		log.Conditions{Decided: l.Size(), Spent: []proof.Hash{token}})
	fmt.Println(err)

	_, err = new(log.Receipt).Open(policy)
	fmt.Println(err)
	// Output:
	// entry 0: "an entry", <nil>
	// append: key c88a5718204e4e84655ac0594dfd8149688101b55ae9e7bc29835b7ef8ff584e is spent by entry 0
	// open receipt: zero receipt: not proven to be in the log
}
