package tpm_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log"
	"time"

	"plastron/node"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
)

// The whole story: a gate that believes the TPMs of a demo vendor and has one of
// them in its inventory; that TPM is enrolled once, and then quotes.
func Example() {
	ctx, now := context.Background(), time.Now()
	vendor := try(tpmtest.NewCA("Demo TPM vendor"))
	chip := try(tpmtest.New(tpmtest.Options{CA: vendor, ECC: true}))
	inventory := try(tpm.ParseInventory([]byte("# rack 7\n" + try(tpm.EKHash(chip.EKCertificate())))))
	gate := try(tpm.New(tpm.Config{
		Name:                    "fleet",
		InsecureSoftwareEKRoots: []*x509.Certificate{vendor.Certificate()},
		Inventory:               inventory,
	}))

	machine := try(tpm.NewDevice(chip, tpm.ECDSA))
	defer machine.Close()
	bind := node.Bind(sha256.Sum256([]byte("beacon")), []byte("SubjectPublicKeyInfo of the SVID key"))

	request := try(machine.EnrolRequest())
	challenge := try(gate.Challenge(ctx, request, bind, now))
	answer := try(machine.Activate(challenge))
	fact := try(gate.Enrol(ctx, request, answer, bind, now))
	entry := &node.Enrolment{Kind: "tpm", Name: "fleet", Index: 12, Data: fact.Data} // by way of the log

	evidence := try(machine.Quote(bind, nil))
	host := try(gate.Verify(ctx, evidence, bind, entry, now))
	fmt.Println(host.ID() == "tpm:"+fact.Key, host.Floor(), host.Bound(), host.Insecure())
	fmt.Println(host.Anchors()[0].Name, host.Facts()["pcr.7"])

	_, err := gate.Verify(ctx, evidence, node.Bind([32]byte{}, []byte("another key")), entry, now)
	fmt.Println(err.(*node.Error).Code)
	// Output:
	// true human key [insecure_software_tpm]
	// CN=Demo TPM vendor 0000000000000000000000000000000000000000000000000000000000000000
	// node_binding
}

func try[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
