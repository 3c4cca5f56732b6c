package proof_test

import (
	"bytes"
	"testing"

	"plastron/log/proof"
)

// BenchmarkOpenCheckpoint opens a note that one witness cosigned: two Ed25519
// signatures when it is new, a comparison of bytes when it is not.
func BenchmarkOpenCheckpoint(b *testing.B) {
	w := newWorld(b, 1, 70)
	msg := w.note(b, w.checkpoint(b, 70), w.witnesses...)
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			p := must(proof.ParsePolicy(w.policy.Text()))(b)
			b.StartTimer()
			if _, err := p.OpenCheckpoint(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.policy.OpenCheckpoint(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkVerifyProof verifies a proof of 24 hashes on a checkpoint that was
// opened before: as text has it, and from the bytes in an SVID.
func BenchmarkVerifyProof(b *testing.B) {
	p, policy, leaf := deepProof(b)
	compact := must(p.Compact(policy))(b)
	b.Run("opened", func(b *testing.B) {
		for b.Loop() {
			if _, err := p.Verify(policy, leaf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("compact", func(b *testing.B) {
		for b.Loop() {
			q, err := proof.ParseCompact(compact, policy, leaf)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := q.Verify(policy, leaf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCompact writes the compact form on a checkpoint that was opened.
func BenchmarkCompact(b *testing.B) {
	p, policy, _ := deepProof(b)
	for b.Loop() {
		if _, err := p.Compact(policy); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePolicy(b *testing.B) {
	text := bytes.Clone(newWorld(b, 5, 1).policy.Text())
	for b.Loop() {
		if _, err := proof.ParsePolicy(text); err != nil {
			b.Fatal(err)
		}
	}
}
