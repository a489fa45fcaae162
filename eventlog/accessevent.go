package eventlog

import "strings"

// The kinds of authorization.
const (
	KindTokenSet     Kind = "token.set"
	KindTokenRemoved Kind = "token.removed"
	KindAuthEnabled  Kind = "auth.enabled"
	KindAuthDisabled Kind = "auth.disabled"
)

// TokenSet lets who knows the secret act as Actor. The id is part of the token
// and no secret.
type TokenSet struct {
	ID      string
	Actor   string
	SHA256  [32]byte // of the secret
	Expires int64    // Unix milliseconds; 0 = never
	Join    bool     // admits a node to the cluster, once, and nothing else
	Node    string   // that has used it; only where Join
}

// TokenRemoved revokes a token.
type TokenRemoved struct{ ID string }

// AuthEnabled makes the cluster ask who a caller is, and what it may do.
type AuthEnabled struct{}

// AuthDisabled ends that.
type AuthDisabled struct{}

// Kind names the event.
func (*TokenSet) Kind() Kind { return KindTokenSet }

// Kind names the event.
func (*TokenRemoved) Kind() Kind { return KindTokenRemoved }

// Kind names the event.
func (*AuthEnabled) Kind() Kind { return KindAuthEnabled }

// Kind names the event.
func (*AuthDisabled) Kind() Kind { return KindAuthDisabled }

// maxTokenID is how long the id of a token may be.
const maxTokenID = 32

// CheckTokenID checks a token's id: lower case letters and digits.
func CheckTokenID(id string) error { return checked(tokenIDReason(id)) }

func tokenIDReason(id string) string {
	if len(id) > maxTokenID {
		return tooLong(maxTokenID)
	}
	if id == "" || strings.IndexFunc(id, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') }) >= 0 {
		return "must consist of lower case letters and digits"
	}
	return ""
}

// Validate checks every member.
func (e *TokenSet) Validate() error {
	var r rules
	r.check("id", tokenIDReason(e.ID))
	r.check("actor", labelReason(e.Actor, MaxActor))
	r.refuse(e.Actor == SystemActor, "actor", "must not be "+SystemActor)
	r.refuse(e.SHA256 == [32]byte{}, "sha256", "is missing")
	r.check("expires", optionalTimeReason(e.Expires))
	if e.Node != "" {
		r.refuse(!e.Join, "node", "is a member of join tokens alone")
		r.check("node", labelReason(e.Node, MaxActor))
	}
	return r.done()
}

// Validate checks the id.
func (e *TokenRemoved) Validate() error {
	var r rules
	r.check("id", tokenIDReason(e.ID))
	return r.done()
}

// Validate has nothing to check.
func (*AuthEnabled) Validate() error { return nil }

// Validate has nothing to check.
func (*AuthDisabled) Validate() error { return nil }

// keysReason checks the prefixes of keys that a grant names.
func keysReason(list []string) string {
	if len(list) > maxList {
		return tooMany(maxList)
	}
	for i, k := range list {
		if r := keyReason(k); r != "" {
			return "holds a prefix that " + r
		}
		if i > 0 && list[i-1] >= k {
			return "must be sorted, each prefix once"
		}
	}
	return ""
}

// viaReason checks the members of a commit's via.
func viaReason(v string) string { return labelReason(v, MaxActor+len("group:")) }

func appendTokenSet(dst []byte, e *TokenSet) []byte {
	dst = appendMember(dst, `{"kind":"token.set","id":`, e.ID)
	dst = appendMember(dst, `,"actor":`, e.Actor)
	dst = appendHex(dst, `,"sha256":`, e.SHA256[:])
	dst = appendOptionalTime(dst, `,"expires":`, e.Expires)
	if e.Join {
		dst = append(dst, `,"join":true`...)
	}
	return appendOptional(dst, `,"node":`, e.Node)
}

func (d *Decoder) tokenSet(f *frame) Event {
	s, e := &d.s, new(TokenSet)
	d.each(f, func(key []byte) bool {
		switch string(key) {
		case "id":
			s.once(f, 0, "id")
			e.ID = d.name("id")
		case "actor":
			s.once(f, 1, "actor")
			e.Actor = d.name("actor")
		case "sha256":
			s.once(f, 2, "sha256")
			s.hex("sha256", e.SHA256[:])
		case "expires":
			s.once(f, 3, "expires")
			e.Expires = s.time("expires")
		case "join":
			s.once(f, 4, "join")
			e.Join = s.bool("join")
		case "node":
			s.once(f, 5, "node")
			e.Node = d.name("node")
		default:
			return false
		}
		return true
	})
	for bit, field := range [...]string{"id", "actor", "sha256"} {
		s.require(f, uint(bit), field)
	}
	return e
}

// nothing reads an object without members.
func (d *Decoder) nothing(f *frame) { d.each(f, func([]byte) bool { return false }) }
