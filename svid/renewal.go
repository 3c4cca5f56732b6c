package svid

// RenewalMessage is what the key of an SVID signs to ask for the next one on
// another key: "plastron renewal v1", a zero byte, and the bind of the request
// ([plastron/node.Bind]), which names that key. ECDSA signs its SHA-256 in ASN.1
// form, RSA its SHA-256 by PKCS #1 v1.5, Ed25519 the message itself.
func RenewalMessage(bind [32]byte) []byte {
	return append([]byte("plastron renewal v1\x00"), bind[:]...)
}
