package eventlog

import "fmt"

// Revision is the dense number of a commit: 1, 2, 3, … within an epoch.
type Revision uint64

// Hash is a link of the SHA-256 chain over commits; the zero value is h(0).
type Hash [32]byte

// RequestHash is the first 128 bits of SHA-256 over a request's canonical form.
type RequestHash [16]byte

// Nonce tells two histories apart that continue the same one.
type Nonce [16]byte

// Position is a point in the life of a log. It is comparable.
type Position struct {
	LogID    string   `json:"log_id"`
	Epoch    uint64   `json:"epoch"`
	Revision Revision `json:"revision"`
}

// String gives "<log_id>/<epoch>/<revision>", the form of the DVR-Position header.
func (p Position) String() string { return fmt.Sprintf("%s/%d/%d", p.LogID, p.Epoch, p.Revision) }

// Limits of format 1.
const (
	Format          = 1
	MaxBatchBytes   = 256 << 10
	MaxBatchCommits = 4096
	MaxCommitEvents = 4096
	MaxStagePart    = 256 << 10
	MaxCommitBytes  = 1 << 20 // of a commit that is alone in its batch
)

// Commit is up to MaxCommitEvents events that become visible at once.
type Commit struct {
	Revision Revision
	Epoch    uint64
	ID       string // unique per actor within the idempotency window
	Time     int64  // log time, Unix milliseconds, never decreasing
	Actor    string
	Source   string // address that the request came from
	For      string // on whose behalf
	Reason   string
	Forced   []string   // guards passed by force
	Reverts  []Revision // commits whose inverse this is
	Via      []string   // where the actor's right came from: "token:<id>", "group:<name>"
	Request  RequestHash
	Events   []Event // none: a request that changed nothing
}

// Head is the guard of the log: what the newest batch left behind.
type Head struct {
	Revision Revision
	Epoch    uint64
	Nonce    Nonce
	Hash     Hash
	Level    uint32
	// Guard is the log's own token (etcd: ModRevision of the head key). Two
	// heads with equal guards are the same head; callers hand it back unread.
	Guard int64
}

// Batch is consecutive commits that are stored as one value.
type Batch struct {
	Epoch   uint64
	By      string // node that wrote it
	Prev    Hash   // h(first − 1)
	Hash    Hash   // h(last), computed from the bytes when decoded
	Commits []Commit
	Raw     []byte // the stored bytes, batch line included
}

// First and Last are the revisions that the batch spans; a batch is never empty.
func (b *Batch) First() Revision { return b.Commits[0].Revision }

// Last is the revision of the newest commit of the batch.
func (b *Batch) Last() Revision { return b.Commits[len(b.Commits)-1].Revision }
