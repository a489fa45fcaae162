package httpapi

import (
	"net/netip"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// buffer builds JSON by appending: no reflection, no intermediate values.
// Objects and lists are opened on it in order.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 1024)} }}

const maxPooled = 256 << 10

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	if cap(b.b) <= maxPooled {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// object is an open JSON object; members are put with their comma.
type object struct{ *buffer }

func (b *buffer) object() object {
	b.b = append(b.b, '{')
	return object{b}
}

// end closes the object, replacing the last member's comma.
func (o object) end() { o.close('}') }

func (b *buffer) close(c byte) {
	if n := len(b.b) - 1; b.b[n] == ',' {
		b.b[n] = c
	} else {
		b.b = append(b.b, c)
	}
}

// key puts a member's name; names are constants and need no escape.
func (o object) key(k string) {
	o.b = append(append(append(o.b, '"'), k...), '"', ':')
}

func (o object) str(k, v string) {
	o.key(k)
	o.text(v)
	o.b = append(o.b, ',')
}

func (o object) optional(k, v string) {
	if v != "" {
		o.str(k, v)
	}
}

func (o object) uint(k string, v uint64) {
	o.key(k)
	o.b = append(strconv.AppendUint(o.b, v, 10), ',')
}

func (o object) bool(k string, v bool) {
	o.key(k)
	o.b = append(strconv.AppendBool(o.b, v), ',')
}

func (o object) addr(k string, a netip.Addr) {
	o.key(k)
	o.b = append(o.b, '"')
	if a.IsValid() {
		o.b = a.AppendTo(o.b)
	}
	o.b = append(o.b, '"', ',')
}

func (o object) prefix(k string, p netip.Prefix) {
	o.key(k)
	o.b = append(p.AppendTo(append(o.b, '"')), '"', ',')
}

// time puts a point of time as RFC 3339 UTC with milliseconds.
func (o object) time(k string, t time.Time) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = t.UTC().AppendFormat(o.b, "2006-01-02T15:04:05.000Z")
	o.b = append(o.b, '"', ',')
}

// list opens a list member; each element ends with a comma.
func (o object) list(k string) {
	o.key(k)
	o.b = append(o.b, '[')
}

func (o object) endList() {
	o.close(']')
	o.b = append(o.b, ',')
}

func strs[T ~string](o object, k string, list []T) {
	o.list(k)
	for _, v := range list {
		o.text(string(v))
		o.b = append(o.b, ',')
	}
	o.endList()
}

// next ends an element or member that was put whole.
func (b *buffer) next() { b.b = append(b.b, ',') }

const hexDigits = "0123456789abcdef"

// text puts a JSON string; what is not UTF-8 becomes U+FFFD.
func (b *buffer) text(s string) {
	b.b = append(b.b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b.b = append(append(b.b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c < 0x20 || c == '"' || c == '\\' {
			b.b = append(b.b, s[start:i]...)
			switch c {
			case '"', '\\':
				b.b = append(b.b, '\\', c)
			default:
				b.b = append(b.b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			start = i + 1
		}
		i++
	}
	b.b = append(append(b.b, s[start:]...), '"')
}

// num puts a number as a list's element.
func (b *buffer) num(v uint64) { b.b = append(strconv.AppendUint(b.b, v, 10), ',') }
