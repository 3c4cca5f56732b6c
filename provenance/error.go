package provenance

import "fmt"

// A Code says which of the things a bundle must show is missing. The list is
// closed; codes are stable and go to clients and metric labels.
type Code string

// Every refusal carries exactly one of these.
const (
	// CodeMalformed: the bytes are not one Sigstore bundle that carries one
	// in-toto statement under one certificate.
	CodeMalformed Code = "provenance_malformed"
	// CodeSignature: the envelope's signature is not by the certificate's key.
	CodeSignature Code = "provenance_signature"
	// CodeCertificate: no certificate, or not one that a trusted Fulcio issued
	// for signing and put into a trusted CT log.
	CodeCertificate Code = "provenance_certificate"
	// CodeIdentity: the certificate does not name exactly one signer and issuer;
	// for [plastron/provenance/cosign], not the ones asked for.
	CodeIdentity Code = "provenance_identity"
	// CodeLog: not shown to be in a trusted transparency log, or another thing
	// is: a promise without proof, a proof of other bytes, an unknown log.
	CodeLog Code = "provenance_log"
	// CodeTime: no trusted time of signing, or one outside the validity of the
	// certificate or of the key that vouches for the time.
	CodeTime Code = "provenance_time"
	// CodeSubject: the statement does not speak of the artifact.
	CodeSubject Code = "provenance_subject"
	// CodePredicate: the statement is not SLSA provenance, is not well formed,
	// or contradicts the certificate.
	CodePredicate Code = "provenance_predicate"
)

// An Error is a refusal: what Verify returns whenever it returns an error.
type Error struct {
	Code Code
	Err  error // what was expected and seen; may quote the bundle
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// refuse makes the refusal; format and args are fmt.Errorf's.
func refuse(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}
