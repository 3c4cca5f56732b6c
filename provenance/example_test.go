package provenance_test

import (
	"context"
	"fmt"
	"os"

	"plastron/provenance"
)

// What npm and GitHub Actions say about sigstore 2.0.0, checked offline.
func ExampleVerifier_Verify() {
	trusted, err := os.ReadFile("../cmd/plastron/public/public-good.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	bundle, err := os.ReadFile("../cmd/plastron/public/sigstore.js@2.0.0-provenance.sigstore.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := provenance.New([]provenance.Root{{Name: "public-good", TrustedRoot: trusted}})
	if err != nil {
		fmt.Println(err)
		return
	}
	artifact, err := provenance.ParseDigest(genuineDigest)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := v.Verify(context.Background(), bundle, artifact)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.SubjectName())
	fmt.Println("built from", b.SourceRepository(), "at", b.Commit()[:12], "on a", b.Runner(), "runner")
	fmt.Println("signed", b.SignedAt(), "logged as", b.LogIndex(), "of", b.Log())

	artifact.Hex = "0" + artifact.Hex[1:]
	_, err = v.Verify(context.Background(), bundle, artifact)
	fmt.Printf("%.40s\n", err)
	// Output:
	// pkg:npm/sigstore@2.0.0
	// built from github.com/sigstore/sigstore-js at f0b49a04e5a6 on a github-hosted runner
	// signed 2023-08-18 16:05:35 +0000 UTC logged as 31821305 of https://rekor.sigstore.dev
	// provenance_subject: none of 1 subjects i
}
