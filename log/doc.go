// Package log is a transparency log on one directory: what is appended is
// durable, witnessed, and provable to anybody, before anybody hears of it.
//
// Unverified, it takes entries from the gate, answers of witnesses, and its own
// files at start-up. Verified, it gives out a [Receipt], which yields its entry
// only under a log policy: signature of the log, quorum of witnesses, inclusion
// proof. Trusted are the log's key, the clock for nothing but pauses, and the
// disk to have written what fdatasync(2) said it wrote. Whoever can write the
// data directory can end the log or erase evidence; to have it sign a second
// history they must roll back the data, the lock and a quorum of witnesses
// together. Whoever can read it reads every entry, record and piece of evidence.
//
// The log knows nothing of what entries mean. It compares the keys that entries
// spend, and the barriers between them (see [Conditions]); the rest is the
// caller's.
//
// # Durability
//
// Appends are made in batches: while one is being written, the next one fills.
//
//  1. An index is assigned and the conditions are compared with everything
//     before it, durable or under way. Refused appends leave nothing.
//     A crash: nothing happened.
//  2. The batch is sealed: its checkpoint is signed. Each size is signed once.
//     A crash: nothing happened; the signature was never seen.
//  3. One record with entries, conditions, records, evidence and checkpoint is
//     written to the segment; one fdatasync. Meanwhile the signature is
//     verified: one that a faulty key made wrong goes no further.
//     A crash before it returns: the record is torn, and cut at the next start,
//     or it is whole, and adopted. Nobody was told of it.
//  4. The checkpoint goes to the lock; one fdatasync.
//     A crash before it returns: the record is whole and ahead of the lock, and
//     adopted. From here on no other checkpoint of that size can be signed.
//  5. Apply is told each entry. Spent keys, barriers and blobs can be read.
//     A crash: Apply is told again at the next start.
//  6. The witnesses of the quorum are asked, all at once, one question a
//     witness at a time; while they think, the next batches go through 1 to 5,
//     and the next round is about the newest of them. A mirror is pushed the
//     entries that it lacks before it cosigns.
//     A crash: a checkpoint of ours is out; the lock has it or a newer one.
//  7. Whoever waits for an entry that the cosigned checkpoint covers gets its
//     receipt.
//     A crash: the entries are there; receipts are had with Receipt.
//  8. Within a quarter of a second bundles and tiles are written, then the
//     checkpoint that promises them, on which the log's ML-DSA key signs too if
//     there is one. Every ten seconds they are synced, and the mark says so.
//     A crash: what lies above the mark is derived from the segments again,
//     before it is served.
//
// A write, sync or rename that fails, and an Apply that does, poisons the log:
// the process appends nothing more, and nothing is tried again, since after a
// failed fsync the page cache lies. Reading goes on. At the next start what was
// read from the cache and may never have got to the disk, the end of the last
// segment and the lock, is written and synced anew.
//
// # Start-up
//
// Every checkpoint with our signature that anybody shows is a claim on the
// data: the one in the lock, the published one, the mark, and for each witness
// of the quorum the one it cosigned last. The segments are replayed from the
// first entry: checksums, roots, spent keys, barriers. A claim on more than the
// data holds, or on another root, refuses the start: the data was rolled back,
// or the log forked. So do data without a lock, data of another log, damage
// before the end, and a second process. A record beyond the lock must bear our
// signature, or the start is refused; if it has all its blobs it is adopted,
// otherwise cut. Every
// checkpoint that ever left had a quorum; so the start is refused if the
// witnesses that gave no answer, or one that cannot be true, could be a quorum
// among themselves. One that lies is not believed without our signature.
//
// # Data directory
//
//	writer              locked by the process that writes the log
//	segments/00000000   the write-ahead log, in segments numbered from 0
//	tiles/checkpoint    the newest cosigned checkpoint that is published
//	tiles/tile/…        C2SP tlog-tiles: tile/<L>/<N>[.p/<W>], tile/entries/…
//	tiles/mark          the published checkpoint up to which tiles are durable
//
// The segments are the log; all else can be removed while no process runs, and
// is derived again. A partial tile is removed once the full one is there.
//
// # Segment
//
// A file of zeros, durable before the first record goes into it, of
// [Options.Segment] bytes or, among the first, 1 MiB for segment 0 and twice the
// one before for the next; a longer record in it makes it longer. Records
// follow each other without gap from byte 0. Where the next record does not
// fit, zeros follow and it begins the next segment. Nothing is ever used again.
//
// A record, integers big-endian:
//
//	 0  4  magic, 50 4c 57 01
//	 4  4  CRC-32C (Castagnoli) of the bytes from 8 to the end of the head
//	 8  4  length of the head: of all but the blobs' bytes
//	12  8  number of the segment
//	20  8  offset of the record in the segment
//	28  8  index of the first entry
//	36  4  number of entries, at least 1
//	40  4  number of blobs
//	44  4  length of the checkpoint
//	48     entries, one after the other:
//	        0  8  decided; 2^64-1: unconditional
//	        8  1  flags: 1 barrier
//	        9  1  number of spent keys, at most 64
//	       10  2  number of blobs that belong to it, at most 256
//	       12  2  length of the entry, at least 1
//	       14     spent keys, 32 bytes each
//	              SHA-256 of its blobs, 32 bytes each
//	              the entry
//	       blobs stored with this record:
//	        0  4  length, 1 to 16 MiB
//	        4 32  SHA-256
//	       checkpoint: signed note with the log's signature, of the size
//	       that the log has with these entries
//	       end of the head
//	       bytes of the blobs, in the same order
//
// The checksum does not cover the bytes of the blobs but their hashes, so that
// evidence can be erased. An entry names blobs of its own record or an earlier
// one: a blob is stored once.
//
// # Lock
//
// The directory [Options.Lock] has a file "checkpoint" of two slots of 4,096
// bytes; slot sequence mod 2 is overwritten, so that one of them is always
// whole. It is never restored from a backup: that is what tells an old data
// directory from the newest. "writer" beside it is locked like the data's.
//
//	 0  4  magic, 50 4c 4b 01
//	 4  4  CRC-32C (Castagnoli) of the bytes from 8 to 4096
//	 8  8  sequence number, one more than the other slot's
//	16  4  length of the checkpoint
//	20     checkpoint: signed note with the log's signature; then zeros
//
// # Memory
//
// 40 bytes and map overhead for a spent key, 48 for a blob, 24 for 64 KiB of
// segment, 32 for an entry that is not published yet; about 1 MiB of tiles, and
// at most 32 MiB of what was served lately.
package log
