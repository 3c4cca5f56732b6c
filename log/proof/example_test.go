package proof_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"plastron/log/proof"
)

func ExampleFrame() {
	entry, _ := proof.Frame(proof.Statement, []byte(`{"_type":"https://in-toto.io/Statement/v1"}`))
	fmt.Println(hex.EncodeToString(entry[:8]))
	fmt.Println(proof.LeafHash(entry))
	// Output:
	// 01037b225f747970
	// 3bfa7d9c183333653e4c8a6b6b0a0285b0a7de2fab2d85bed4074b1340ffa8c3
}

func ExampleParseCheckpoint() {
	c, err := proof.ParseCheckpoint("example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	fmt.Println(c.Size, err)
	_, err = proof.ParseCheckpoint("example.com/behind-the-sofa\n020852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	fmt.Println(err)
	// Output:
	// 20852163 <nil>
	// checkpoint: size: "020852163" is not in canonical form
}

// exampleKey makes a key that is the same in every run, so that its
// signatures are.
func exampleKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("example key of " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// exampleWorld is a log of two entries with one witness.
func exampleWorld() (p proof.Proof, policy *proof.Policy) {
	log, _ := proof.NewLogSigner("log.acme.example/gate", exampleKey("log"))
	witness, _ := proof.NewCosigner("witness.example", exampleKey("witness"))
	tree := proof.NewRange()
	tree.Append(proof.LeafHash([]byte("first")), nil)
	tree.Append(proof.LeafHash([]byte("second")), nil)
	note, _ := log.Sign(proof.Checkpoint{Origin: log.Name(), Size: tree.Size(), Root: tree.Root()})
	line, _ := witness.Cosign(note, time.Unix(1795608000, 0))
	policy, _ = proof.ParsePolicy([]byte("log " + log.VKey() + "\nwitness w " + witness.VKey() + "\nquorum w\n"))
	return proof.Proof{Index: 1, Hashes: []proof.Hash{proof.LeafHash([]byte("first"))}, Checkpoint: append(note, line...)}, policy
}

func ExampleParsePolicy() {
	_, example := exampleWorld()
	fmt.Print(string(example.Text()))
	policy, err := proof.ParsePolicy(example.Text())
	fmt.Println(policy.Origin(), policy.Satisfied(map[string]bool{"w": true}), err)
	_, err = proof.ParsePolicy([]byte("log " + policy.LogVKey() + "\nquorum nobody\n"))
	fmt.Println(err)
	// Output:
	// log log.acme.example/gate+2d2d0a39+Adg4a4TR+KiRtht3DgKmCp+TMjiaIq8NrKGeQoYPSNNk
	// witness w witness.example+d49c5223+BIcbAu9ujyFBGZSjvSj6N6EGjnD9BuPzwWOQl47exbZ2
	// quorum w
	// log.acme.example/gate true <nil>
	// log policy line 2: quorum: "nobody" is not defined above
}

func ExampleProof_MarshalText() {
	p, policy := exampleWorld()
	text, _ := p.MarshalText()
	fmt.Print(string(text))
	read, _ := proof.ParseProof(text)
	c, err := read.Verify(policy, proof.LeafHash([]byte("second")))
	fmt.Println(c.Witnesses(), c.Times()[0].UTC(), err)
	// Output:
	// c2sp.org/tlog-proof@v1
	// index 1
	// oa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=
	//
	// log.acme.example/gate
	// 2
	// OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=
	//
	// — log.acme.example/gate LS0KOcddPEg/ffWXMjHUUNSiYHk3aMX4jjWkWDxEc9MAIJbLdsnqCrv6PTqeeBDuTlUW5XpoekmPgLaEWDx02uLfDwk=
	// — witness.example 1JxSIwAAAABrBs3AIyF5tkAxHYfpZGQfMH7O9SVcQ/FAkI01zQQXwPm+DIJiqdpykJGsSY+Pn4JHVXlBgQ/y7CJUZTc2Y/MKRUqEDw==
	// [w] 2026-11-25 12:00:00 +0000 UTC <nil>
}

// The log of exampleWorld has signed another first entry, too.
func ExampleForkProof_MarshalText() {
	p, policy := exampleWorld()
	log, _ := proof.NewLogSigner("log.acme.example/gate", exampleKey("log"))
	older, _ := log.Sign(proof.Checkpoint{Origin: log.Name(), Size: 1, Root: proof.LeafHash([]byte("another first"))})
	f := proof.ForkProof{
		Older: older, Newer: p.Checkpoint,
		Prefix: proof.LeafHash([]byte("first")), Hashes: []proof.Hash{proof.LeafHash([]byte("second"))},
	}
	text, _ := f.MarshalText()
	fmt.Print(string(text))
	read, _ := proof.ParseForkProof(text)
	fork, err := read.Verify(policy)
	fmt.Println(fork.Older().Size, fork.Newer().Size, err)
	f.Older, _ = log.Sign(proof.Checkpoint{Origin: log.Name(), Size: 1, Root: f.Prefix})
	_, err = f.Verify(policy)
	fmt.Println(err)
	// Output:
	// plastron.example/tlog-fork@v1
	// prefix oa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=
	// qU3U08LG0lSMpOVg1ycnurXXlVABkfW4VXkTDdOxRgM=
	//
	// log.acme.example/gate
	// 1
	// JmtIvkjIpM8GBAk5bEgMYuVhg+MoWszY3zk7VFfM/fI=
	//
	// — log.acme.example/gate LS0KOeyioVkfU5a0vCk0rdOFw3q70e88eIjMyi8s/Dre30dxFFSFc801bSMFX0qdpFKeI44IM9kfEUJJ19dkkxilqww=
	//
	// log.acme.example/gate
	// 2
	// OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=
	//
	// — log.acme.example/gate LS0KOcddPEg/ffWXMjHUUNSiYHk3aMX4jjWkWDxEc9MAIJbLdsnqCrv6PTqeeBDuTlUW5XpoekmPgLaEWDx02uLfDwk=
	// — witness.example 1JxSIwAAAABrBs3AIyF5tkAxHYfpZGQfMH7O9SVcQ/FAkI01zQQXwPm+DIJiqdpykJGsSY+Pn4JHVXlBgQ/y7CJUZTc2Y/MKRUqEDw==
	// 1 2 <nil>
	// fork proof: size 1 is a prefix of size 2: they agree
}

func ExampleProof_Compact() {
	p, policy := exampleWorld()
	compact, _ := p.Compact(policy)
	fmt.Print(hex.Dump(compact))
	leaf := proof.LeafHash([]byte("second"))
	read, _ := proof.ParseCompact(compact, policy, leaf)
	_, err := read.Verify(policy, leaf)
	fmt.Println(read.Index, err)
	// Output:
	// 00000000  01 15 6c 6f 67 2e 61 63  6d 65 2e 65 78 61 6d 70  |..log.acme.examp|
	// 00000010  6c 65 2f 67 61 74 65 00  00 00 00 00 00 00 01 00  |le/gate.........|
	// 00000020  00 00 00 00 00 00 02 01  a1 af 03 02 31 ca 2f d2  |............1./.|
	// 00000030  0e cf 30 c5 29 4b af 8f  69 32 1d 09 bb 16 ac 53  |..0.)K..i2.....S|
	// 00000040  88 5c cd 17 a3 85 28 0d  2d 2d 0a 39 c7 5d 3c 48  |.\....(.--.9.]<H|
	// 00000050  3f 7d f5 97 32 31 d4 50  d4 a2 60 79 37 68 c5 f8  |?}..21.P..`y7h..|
	// 00000060  8e 35 a4 58 3c 44 73 d3  00 20 96 cb 76 c9 ea 0a  |.5.X<Ds.. ..v...|
	// 00000070  bb fa 3d 3a 9e 78 10 ee  4e 55 16 e5 7a 68 7a 49  |..=:.x..NU..zhzI|
	// 00000080  8f 80 b6 84 58 3c 74 da  e2 df 0f 09 01 d4 9c 52  |....X<t........R|
	// 00000090  23 00 00 00 00 6b 06 cd  c0 23 21 79 b6 40 31 1d  |#....k...#!y.@1.|
	// 000000a0  87 e9 64 64 1f 30 7e ce  f5 25 5c 43 f1 40 90 8d  |..dd.0~..%\C.@..|
	// 000000b0  35 cd 04 17 c0 f9 be 0c  82 62 a9 da 72 90 91 ac  |5........b..r...|
	// 000000c0  49 8f 8f 9f 82 47 55 79  41 81 0f f2 ec 22 54 65  |I....GUyA...."Te|
	// 000000d0  37 36 63 f3 0a 45 4a 84  0f                       |76c..EJ..|
	// 1 <nil>
}

func ExampleTilePath() {
	fmt.Println(proof.TilePath(0, 1234067, proof.TileWidth))
	fmt.Println(proof.BundlePath(0, 12))
	_, _, _, err := proof.ParseTilePath("tile/0/x000/001")
	fmt.Println(err)
	// Output:
	// tile/0/x001/x234/067
	// tile/entries/000.p/12
	// tile path "tile/0/x000/001": not tile/<L>/<N>[.p/<W>]
}

func ExampleMarshalBundle() {
	bundle, _ := proof.MarshalBundle([][]byte{[]byte("a"), []byte("bc")})
	fmt.Printf("%q\n", bundle)
	entries, err := proof.ParseBundle(bundle, 2)
	fmt.Printf("%q %v\n", entries, err)
	// Output:
	// "\x00\x01a\x00\x02bc"
	// ["a" "bc"] <nil>
}

// memory holds the only tile of a log of two entries.
type memory []byte

func (m memory) ReadTile(_ context.Context, level int, index uint64, width int) ([]byte, error) {
	return m[:32*width], nil
}

func ExampleInclusion() {
	first, second := proof.LeafHash([]byte("first")), proof.LeafHash([]byte("second"))
	tree := proof.NewRange()
	tree.Append(first, nil)
	tree.Append(second, nil)
	hashes, _ := proof.Inclusion(context.Background(), memory(append(first[:], second[:]...)), 1, 2)
	fmt.Println(hashes[0] == first, proof.VerifyInclusion(second, 1, 2, hashes, tree.Root()))
	// Output:
	// true <nil>
}
