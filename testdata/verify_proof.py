#!/usr/bin/env python3
"""Verifies Plastron's log proofs: a second reader of the formats that the package
comments of log/proof and svid describe, sharing no code with the first. Python's
standard library only. Post-quantum cosignatures are ignored.

  verify_proof.py LOG_POLICY text PROOF ENTRY    a C2SP tlog-proof, and the entry
  verify_proof.py LOG_POLICY svid CERTIFICATE    the compact proof in a PEM SVID
  verify_proof.py LOG_POLICY -                   one such request a line, from stdin

It does not check the certificate's own signature, nor its validity."""
import base64, struct, sys
from hashlib import sha256, sha512

def need(ok, what):
    if not ok: sys.exit("refused: " + what)

# Ed25519, RFC 8032, section 5.1.7; points are (X, Y, Z, T).
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
def add(p, q):
    a, b = (p[1]-p[0])*(q[1]-q[0]) % P, (p[1]+p[0])*(q[1]+q[0]) % P
    c, d = 2*p[3]*q[3]*D % P, 2*p[2]*q[2] % P
    e, f, g, h = b-a, d-c, d+c, b+a
    return e*f % P, g*h % P, f*g % P, e*h % P
def mul(k, p):
    r = (0, 1, 1, 0)
    while k:
        if k & 1: r = add(r, p)
        p, k = add(p, p), k >> 1
    return r
def point(b):
    y = int.from_bytes(b, "little"); sign, y = y >> 255, y & 2**255-1
    xx = (y*y-1) * pow(D*y*y+1, -1, P) % P; x = pow(xx, (P+3)//8, P)
    if (x*x-xx) % P: x = x * pow(2, (P-1)//4, P) % P
    if y >= P or (x*x-xx) % P or x == 0 and sign: return None
    if x & 1 != sign: x = P - x
    return x, y, 1, x*y % P
BASE = point(bytes.fromhex("58" + "66"*31))
def signed(key, sig, message):
    a, r, s = point(key), point(sig[:32]), int.from_bytes(sig[32:], "little")
    if len(sig) != 64 or not a or not r or s >= L: return False
    h = int.from_bytes(sha512(sig[:32] + key + message).digest(), "little") % L
    p, q = mul(s, BASE), add(r, mul(h, a))
    return (p[0]*q[2] - q[0]*p[2]) % P == 0 == (p[1]*q[2] - q[1]*p[2]) % P

def b64(s):
    try: b = base64.b64decode(s, validate=True)
    except ValueError: b = b""
    need(base64.b64encode(b).decode() == s, "base64 is not canonical")
    return b
def decimal(s):
    need(s.isascii() and s.isdigit() and str(int(s)) == s, "number is not canonical")
    return int(s)
def vkey(s):  # <name>+<id>+base64(type || key)
    name, kid, rest = s.split("+", 2); typed = b64(rest)
    need(sha256(name.encode() + b"\n" + typed).digest()[:4].hex() == kid, "key id of " + name)
    return name, bytes.fromhex(kid), typed[0], typed[1:]

def policy(text):
    log, witnesses, groups, quorum = None, {}, {}, None
    for f in (line.split() for line in text.splitlines()):
        if not f or f[0][0] == "#": continue
        if f[0] == "log": log = vkey(f[1])
        elif f[0] == "witness": witnesses[f[1]] = vkey(f[2])
        elif f[0] == "group": groups[f[1]] = {"any": 1, "all": len(f)-3}.get(f[2]) or int(f[2]), f[3:]
        elif f[0] == "quorum": quorum = f[1]
    def met(name, heard):
        if name not in groups: return name == "none" or name in heard
        return sum(met(m, heard) for m in groups[name][1]) >= groups[name][0]
    return log, witnesses, lambda heard: met(quorum, heard)

def root(leaf, index, size, path):  # RFC 9162, section 2.1.3.2
    fn, sn, r = index, size - 1, leaf
    need(index < size, "index is not in the tree")
    for p in path:
        need(sn, "surplus hash")
        if fn & 1 or fn == sn:
            r = sha256(b"\1" + p + r).digest()
            while fn and not fn & 1: fn, sn = fn >> 1, sn >> 1
        else: r = sha256(b"\1" + r + p).digest()
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "missing hash")
    return r

def check(pol, origin, index, size, head, lines):
    """lines: (name or None, key id, what follows it). Returns the witnesses."""
    log, witnesses, met = pol
    text = f"{origin}\n{size}\n{base64.b64encode(head).decode()}\n".encode()
    need(origin == log[0], "another log's origin"); seen, heard, by_log = set(), set(), False
    for name, kid, sig in lines:
        for local, (wname, wid, kind, key) in [(None, log), *witnesses.items()]:
            if kid != wid or name not in (None, wname) or kind == 6: continue
            need(kid not in seen, "a key signed twice"); seen.add(kid)
            if local is None: by_log = True; need(signed(key, sig, text), "the log's signature")
            else:
                t = struct.unpack(">Q", sig[:8])[0]; need(0 < t <= 253402300799, "time of " + local)
                need(signed(key, sig[8:], b"cosignature/v1\ntime %d\n" % t + text), "cosignature of " + local); heard.add(local)
            break
        else: need(name is not None, "unknown key")
    need(by_log, "not signed by the log"); need(met(heard), "no quorum")
    return f"verified: entry {index} of {origin}, size {size}, cosigned by {sorted(heard)}"

def text_proof(pol, proof, entry):
    parts = proof.split("\n\n"); need(len(parts) == 3 and parts[2].endswith("\n"), "not a proof of three parts")
    head, note = parts[0].split("\n"), parts[1].split("\n")
    need(head.pop(0) == "c2sp.org/tlog-proof@v1", "header")
    if head and head[0].startswith("extra "): b64(head.pop(0)[6:])
    need(head and head[0].startswith("index ") and len(note) == 3, "index or checkpoint"); index, size = decimal(head[0][6:]), decimal(note[1])
    r = root(sha256(b"\0" + entry).digest(), index, size, [b64(h) for h in head[1:]]); need(b64(note[2]) == r, "leads to another root")
    lines = []
    for line in parts[2][:-1].split("\n"):
        dash, name, sig = line.split(" "); sig = b64(sig); need(dash == "\u2014", "signature line"); lines.append((name, sig[:4], sig[4:]))
    return check(pol, note[0], index, size, r, lines)

def compact_proof(pol, b, entry):
    at = 0
    def take(n):
        nonlocal at; at += n; need(at <= len(b), "ends early"); return b[at-n:at]
    need(take(1) == b"\1", "version"); origin = take(take(1)[0]).decode()
    index, size = struct.unpack(">QQ", take(16)); path = [take(32) for _ in range(take(1)[0])]
    lines, ids = [(None, take(4), take(64))], []
    need(lines[0][1] == pol[0][1], "not the log's key")
    for _ in range(take(1)[0]): ids.append(take(4)); lines.append((None, ids[-1], take(72)))
    need(at == len(b) and ids == sorted(set(ids)), "trailing bytes, or key ids out of order")
    return check(pol, origin, index, size, root(sha256(b"\0" + entry).digest(), index, size, path), lines)

def tlv(b, at):  # DER: tag, where the contents begin, where they end
    n, begin = b[at+1], at + 2
    if n >= 128: begin, n = begin + n - 128, int.from_bytes(b[begin:begin+n-128], "big")
    need(begin + n <= len(b), "DER ends early"); return b[at], begin, begin + n
def der(tag, v):
    n = len(v); size = n.to_bytes((n.bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (bytes([n]) if n < 128 else bytes([128 + len(size)]) + size) + v
def svid(pol, cert):  # see "The log-proof extension" in svid/doc.go
    tbs, end = tlv(cert, tlv(cert, 0)[1])[1:]; at = tbs
    while cert[at] != 0xA3: at = tlv(cert, at)[2]
    head, first, stop = cert[tbs:at], *tlv(cert, tlv(cert, at)[1])[1:]; last = at = first
    while at < stop: last, at = at, tlv(cert, at)[2]
    oid = bytes.fromhex("06092b0601040181fd5901"); value = tlv(cert, tlv(cert, last)[1] + len(oid))
    proof = cert[slice(*tlv(cert, value[1])[1:])]
    need(at == stop == end and cert[last:stop] == der(0x30, oid + der(4, der(4, proof))), "log-proof extension is not the last, as it should be")
    return compact_proof(pol, proof, b"\1\1" + der(0x30, head + der(0xA3, der(0x30, cert[first:last]))))

def read(path):
    with open(path, "rb") as f: return f.read()
def judge(pol, form="", *files):
    need((form, len(files)) in (("text", 2), ("svid", 1)), "arguments\n" + __doc__)
    try:
        if form == "text": return text_proof(pol, read(files[0]).decode(), read(files[1]))
        pem = read(files[0]).decode().split("-----END")[0].split("-----\n")[-1]
        return svid(pol, base64.b64decode(pem))
    except (ValueError, IndexError, struct.error) as e: need(False, "malformed: %s" % e)
if __name__ == "__main__":
    need(len(sys.argv) > 2, "arguments\n" + __doc__)
    pol = policy(read(sys.argv[1]).decode())
    if sys.argv[2] != "-": sys.exit(print(judge(pol, *sys.argv[2:])))
    for line in sys.stdin:
        try: print(judge(pol, *line.split()), flush=True)
        except SystemExit as e: print(e.code, flush=True)
