// Package reasons is the catalogue of the codes that errors, events, findings and the admin API name: what each means
// and what to do about it. The command reasons, the manual, docs/reasons.md and the remedies of the admin API come from
// it. Its tests hold it to the code, and the document to it.
package reasons

import "slices"

// Kinds of entries.
const (
	Link    = "reason"  // why a link ended or did not come up: muxer.Code
	Stage   = "stage"   // how far a handshake came: handshake.Stage
	Finding = "finding" // how a node is: host.Finding
)

// Page is the document of the catalogue.
const Page = "docs/reasons.md"

// Entry is what the catalogue says of a code.
type Entry struct {
	Kind   string `json:"kind"`
	Code   string `json:"code"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
	Short  string `json:"-"` // of a Link: the remedy in a few words, for a dial or a connection that failed
}

// Anchor is the entry's anchor in the document. It never changes.
func (e Entry) Anchor() string {
	if e.Kind == Stage { // transport is a reason of links, too
		return "stage-" + e.Code
	}
	return e.Code
}

var entries = func() (list []Entry) {
	for _, r := range linkRows {
		list = append(list, Entry{Link, r[0], r[1], r[2], r[3]})
	}
	for _, r := range stageRows {
		list = append(list, Entry{Kind: Stage, Code: r[0], Text: r[1], Remedy: r[2]})
	}
	for _, r := range findingRows {
		list = append(list, Entry{Kind: Finding, Code: r[0], Text: r[1], Remedy: r[2]})
	}
	return list
}()

// All returns all entries: links, stages and findings, each in the order of the document.
func All() []Entry { return slices.Clone(entries) }

// Find returns the entry of a code; false if there is none.
func Find(kind, code string) (Entry, bool) {
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Kind == kind && e.Code == code })
	if i < 0 {
		return Entry{}, false
	}
	return entries[i], true
}
