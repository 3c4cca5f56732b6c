package tpmtest

import "github.com/google/go-tpm/tpm2"

// checkTemplate accepts storage keys as EKs are and signing keys with a fixed
// scheme, restricted or not, of the sizes that this TPM makes.
func checkTemplate(t *tpm2.TPMTPublic) tpm2.TPMRC {
	a := t.ObjectAttributes
	switch {
	case t.NameAlg != tpm2.TPMAlgSHA256:
		return tpm2.TPMRCHash
	case !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || a.EncryptedDuplication,
		a.SignEncrypt == a.Decrypt, a.Decrypt && !a.Restricted:
		return tpm2.TPMRCAttributes
	case t.Type == tpm2.TPMAlgRSA:
		return checkRSA(t, a.SignEncrypt)
	case t.Type == tpm2.TPMAlgECC:
		return checkECC(t, a.SignEncrypt)
	}
	return tpm2.TPMRCType
}

func checkRSA(t *tpm2.TPMTPublic, signing bool) tpm2.TPMRC {
	p, err := t.Parameters.RSADetail()
	switch {
	case err != nil:
		return tpm2.TPMRCType
	case !fits(p.Symmetric, signing):
		return tpm2.TPMRCSymmetric
	case p.KeyBits != 2048:
		return tpm2.TPMRCValue
	case p.Exponent != 0 && p.Exponent != 65537:
		return tpm2.TPMRCRange
	}
	hash := tpm2.TPMAlgNull
	switch p.Scheme.Scheme {
	case tpm2.TPMAlgRSASSA:
		if s, err := p.Scheme.Details.RSASSA(); err == nil {
			hash = s.HashAlg
		}
	case tpm2.TPMAlgRSAPSS:
		if s, err := p.Scheme.Details.RSAPSS(); err == nil {
			hash = s.HashAlg
		}
	}
	return checkScheme(p.Scheme.Scheme, hash, signing)
}

func checkECC(t *tpm2.TPMTPublic, signing bool) tpm2.TPMRC {
	p, err := t.Parameters.ECCDetail()
	switch {
	case err != nil:
		return tpm2.TPMRCType
	case !fits(p.Symmetric, signing):
		return tpm2.TPMRCSymmetric
	case p.CurveID != tpm2.TPMECCNistP256:
		return tpm2.TPMRCCurve
	case p.KDF.Scheme != tpm2.TPMAlgNull && p.KDF.Scheme != 0:
		return tpm2.TPMRCKDF
	}
	hash := tpm2.TPMAlgNull
	if p.Scheme.Scheme == tpm2.TPMAlgECDSA {
		if s, err := p.Scheme.Details.ECDSA(); err == nil {
			hash = s.HashAlg
		}
	}
	return checkScheme(p.Scheme.Scheme, hash, signing)
}

// fits: a storage key protects its children by AES-128-CFB, a signing key has none.
func fits(s tpm2.TPMTSymDefObject, signing bool) bool {
	if signing {
		return s.Algorithm == tpm2.TPMAlgNull || s.Algorithm == 0
	}
	bits, err := s.KeyBits.AES()
	return err == nil && s.Algorithm == tpm2.TPMAlgAES && *bits == 128
}

func checkScheme(scheme, hash tpm2.TPMAlgID, signing bool) tpm2.TPMRC {
	none := scheme == tpm2.TPMAlgNull || scheme == 0
	if signing && hash == tpm2.TPMAlgSHA256 || !signing && none {
		return tpm2.TPMRCSuccess
	}
	return tpm2.TPMRCScheme
}
