package settings

import (
	"fmt"
	"net/netip"
	"time"

	"dvr/controller/certs"
)

// Settings is how a node runs. Load gives it complete and checked.
type Settings struct {
	NodeID  string
	DataDir string

	Raft   Address // peers of the embedded etcd
	API    Address // HTTP
	FIB    Address // gRPC for data planes
	Client Address // clients of the embedded etcd
	Admin  string  // host:port on loopback, for profiles and the level of the logs; empty: none

	// EtcdEndpoints names an external etcd, host:port, in TLS https://host:port,
	// all or none of them; empty: the embedded one.
	EtcdEndpoints []string
	// EtcdTLS is for an external etcd in TLS. Without CA the system's authorities are
	// trusted, without Cert no certificate is shown.
	EtcdTLS      certs.Files
	EtcdWritable bool  // the client listener admits writes
	EtcdQuota    int64 // bytes of the embedded etcd's database

	// InitialCluster maps the node ids of a cluster's first members, this one
	// included, to their advertised Raft addresses; empty: none is formed with others.
	InitialCluster map[string]string
	Join           []string // API addresses of members of a cluster to join
	Observer       bool     // join without a vote: read the log, forward writes
	ClusterID      string   // the cluster that the data must be of, 16 hex digits; empty: any
	JoinToken      string   // with which it joins a cluster that asks for one
	KVQuota        int64    // bytes that keys and values may take together

	ArchiveDir string // where history is archived before it is truncated; empty: nowhere

	BackupDir      string        // where backups are made by themselves; empty: none are
	BackupInterval time.Duration // how often
	BackupKeep     int64         // how many are kept

	RateLimit int64 // calls a second of an authenticated actor at this node; 0: any
	// StrangerLimit is how many refusals a second of callers whom nobody knows a
	// source is given at this node, 0: any; StrangerExempt are sources without.
	StrangerLimit  int64
	StrangerExempt []netip.Prefix
	OIDC           OIDC

	Trace Trace

	HoldLevel bool // while this node leads, the log's level is not raised

	LogFormat string // console or json
	LogLevel  string // debug, info, warn, error
	LogSample int64  // lines of one level and text in a second that are written before every 100th; 0: all
	Insecure  bool   // listen, and reach an external etcd, beyond loopback without TLS and authentication

	TLS certs.Files // none: all ports speak clear text

	// MemoryLimit is GOMEMLIMIT in bytes; 0 leaves the runtime's own.
	MemoryLimit int64

	origins map[string]Origin
}

// Trace is where the traces of changes go.
type Trace struct {
	Endpoint string  // of a collector; empty: tracing is off
	Ratio    float64 // part of the changes that are traced, 0 to 1
}

// OIDC is the identity provider whose JWTs are credentials.
type OIDC struct {
	Issuer      string // URL; empty: none
	Audience    string
	ActorClaim  string // what names the actor
	GroupsClaim string // what lists the groups
}

// Address is where one listener listens and what others are told to dial. Both
// are host:port; the host of Advertise is never unspecified.
type Address struct{ Listen, Advertise string }

// Origin says where a value came from: "default", "derived", "file <path>:<line>",
// "environment <NAME>" or "flag --<name>".
type Origin string

// Origin of the setting with that environment name, "API_ADDR".
func (s *Settings) Origin(name string) Origin {
	if o, ok := s.origins[name]; ok {
		return o
	}
	return OriginDefault
}

// Origins that are no place.
const (
	OriginDefault Origin = "default"
	OriginDerived Origin = "derived"
)

// Error is a setting that cannot be used.
type Error struct {
	Name   string // API_ADDR
	Origin Origin
	Reason string // a sentence that says what to do
}

func (e *Error) Error() string {
	if e.Origin == "" {
		return fmt.Sprintf("%s: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("%s (%s): %s", e.Name, e.Origin, e.Reason)
}

// Entry is one setting as `dvr config show` shows it.
type Entry struct {
	Name, Value string
	Origin      Origin
}

// Entries lists every setting in the documented order. Of a secret no value is here.
func (s *Settings) Entries() []Entry {
	out := make([]Entry, 0, len(table))
	for _, d := range table {
		out = append(out, Entry{Name: d.name, Value: d.get(s), Origin: s.Origin(d.name)})
	}
	return out
}
