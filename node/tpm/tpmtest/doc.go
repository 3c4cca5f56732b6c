// Package tpmtest is a TPM 2.0 in software, for tests, the demo and development
// on machines without one. It speaks commands, as a chip does: what talks to it
// is the code that talks to a chip.
//
// It is not a TPM: its keys lie in memory and, if asked, in a file. [CA] stands
// for its vendor. A gate that believes it has to be configured so under a name
// with insecure in it.
//
// # What it knows
//
//	Startup GetCapability                      as a TPM that its firmware has started
//	NV_ReadPublic NV_Read                      the EK certificate, at 01c00002 or 01c0000a
//	CreatePrimary ReadPublic FlushContext      EKs and signing keys, P-256 and RSA-2048; three slots
//	StartAuthSession PolicySecret              policy sessions, neither bound nor salted
//	ActivateCredential                         RSA and ECC
//	PCR_Read PCR_Extend Quote                  24 registers of one bank, SHA-256
//
// Handles, authorization by password and by policy with its HMAC, structures and
// response codes are those of TPM 2.0 Parts 1 to 3; anything else is answered with
// the code that says so. The same tests run against swtpm where that is installed.
package tpmtest
