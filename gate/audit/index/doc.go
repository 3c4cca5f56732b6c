// Package index finds log entries by what they say: a local SQLite file that is
// a projection of a log.
//
// What comes in is an [audit.View], whose entries have been hashed up to a
// cosigned checkpoint, and decision records, by the hash that their entries
// name. What goes out are indexes of entries. Nobody needs to believe them: an
// entry that was found is read from the log again, and proven. What the index
// does not find is another matter, and so it is whole: it holds every entry from
// 0 on, and the root of exactly those, of which every view it is brought up to
// must be an extension.
//
// Trusted is the file. Whoever writes to it hides entries from its owner.
//
// The same entries, with the same records, make the same content, however often
// the index was brought up to date in between. It can be deleted at any time.
// No gate asks it: nothing on the way to an SVID links this package.
//
// # Content
//
//	state  size of the log so far, roots of its perfect subtrees, newest time,
//	       number of SVIDs whose record could not be read
//	entry  index, leaf hash, kind, time, SPIFFE ID, serial number, summary
//	fact   name, value, index of the entry ([audit.Entry.Facts])
//
// An entry's time is what it says itself or, if it says nothing, the newest time
// that was said before it.
package index
