package eventlog

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON by hand: no reflection, no allocation, any member order.
// The first error sticks and every reader then returns zero values, so that
// callers check once an object. Space, tab and carriage return are skipped
// between tokens; a newline ends a line and is never skipped.
type scanner struct {
	b       []byte
	i       int
	err     *FieldError
	unknown bool   // err is a kind or member that this program does not know
	scratch []byte // the text of the last string that had escapes
}

// frame is the state of one object being read.
type frame struct {
	seen  uint32 // bit per member
	begun bool   // a member was read
	event bool   // the member "kind" belongs here, read ahead of the others
	kind  bool   // and was passed
}

// maxDepth bounds the nesting that skip follows.
const maxDepth = 16

func (s *scanner) reset(b []byte) { s.b, s.i, s.err, s.unknown = b, 0, nil, false }

func (s *scanner) fail(field, reason string) {
	if s.err == nil {
		s.err = &FieldError{Field: field, Reason: reason}
		s.i = len(s.b) // nothing more is read
	}
}

func (s *scanner) failed() bool { return s.err != nil }

// within prefixes the error's field with where the object being read lies.
func (s *scanner) within(list string, index int) {
	if s.err != nil {
		s.err.Field = joinField(fmt.Sprintf("%s[%d]", list, index), s.err.Field)
	}
}

func joinField(parent, child string) string {
	if child == "" {
		return parent
	}
	return parent + "." + child
}

// peek skips spaces and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte, field, reason string) bool {
	if s.peek() != c {
		s.fail(field, reason)
		return false
	}
	s.i++
	return true
}

func (s *scanner) open(field string) bool { return s.expect('{', field, "must be a JSON object") }

// member moves to the value of the next member and returns its name; false at
// the object's end or an error. The name is valid until the next string is read.
func (s *scanner) member(f *frame) ([]byte, bool) {
	c := s.peek()
	if c == '}' {
		s.i++
		return nil, false
	}
	if f.begun {
		if c != ',' {
			s.fail("", "is not well formed JSON: a comma or the object's end is missing")
			return nil, false
		}
		s.i++
		c = s.peek()
	}
	f.begun = true
	if c != '"' {
		s.fail("", "is not well formed JSON: a member's name must be a string")
		return nil, false
	}
	key := s.text("")
	if s.err != nil || !s.expect(':', "", "is not well formed JSON: a colon is missing") {
		return nil, false
	}
	return key, true
}

// ahead moves to a member's value if its name, written canonically, is next;
// a quote at lit's end is the value's and stays. The member counts as met.
func (s *scanner) ahead(f *frame, bit uint, lit string) bool {
	if len(s.b)-s.i < len(lit) || string(s.b[s.i:s.i+len(lit)]) != lit {
		return false
	}
	s.i += len(lit)
	if lit[len(lit)-1] == '"' {
		s.i--
	}
	f.seen |= 1 << bit
	return true
}

// once notes that a member of f was met.
func (s *scanner) once(f *frame, bit uint, field string) {
	if f.seen&(1<<bit) != 0 {
		s.fail(field, "is there twice")
	}
	f.seen |= 1 << bit
}

func (s *scanner) require(f *frame, bit uint, field string) {
	if f.seen&(1<<bit) == 0 {
		s.fail(field, "is missing")
	}
}

// other handles a member that the object does not have.
func (s *scanner) other(f *frame, key []byte) {
	if f.event && string(key) == "kind" {
		if f.kind {
			s.fail("kind", "is there twice")
		}
		f.kind = true
		s.text("kind")
		return
	}
	if s.err == nil {
		s.fail(string(key), "is not a known member")
		s.unknown = true
	}
}

// stop marks the bytes that end the plain run of a string: quote, backslash,
// controls; and high the bytes of which UTF-8 must be checked.
const (
	stop = 1
	high = 2
)

var textClass = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c < 0x20 || c == '"' || c == '\\':
			t[c] = stop
		case c >= 0x80:
			t[c] = high
		}
	}
	return t
}()

// text reads a string; the result lies in the input or in scratch.
func (s *scanner) text(field string) []byte {
	if s.peek() != '"' {
		s.fail(field, "must be a string")
		return nil
	}
	s.i++
	start := s.i
	var class uint8
	i := start
	for i < len(s.b) {
		t := textClass[s.b[i]]
		class |= t
		if t == stop {
			break
		}
		i++
	}
	s.i = i
	if i == len(s.b) {
		s.fail(field, "is a string without end")
		return nil
	}
	t := s.b[start:i]
	switch s.b[i] {
	case '"':
		s.i++
	case '\\':
		t = s.escaped(field, start)
	default:
		s.fail(field, "holds a control character that is not escaped")
		return nil
	}
	if class&high != 0 && s.err == nil && !utf8.Valid(t) {
		s.fail(field, "is not valid UTF-8")
		return nil
	}
	return t
}

// escaped goes on with a string at its first backslash.
func (s *scanner) escaped(field string, start int) []byte {
	out := append(s.scratch[:0], s.b[start:s.i]...)
	for s.i < len(s.b) {
		c := s.b[s.i]
		s.i++
		switch {
		case c == '"':
			s.scratch = out
			if !utf8.Valid(out) {
				s.fail(field, "is not valid UTF-8")
			}
			return out
		case c < 0x20:
			s.fail(field, "holds a control character that is not escaped")
			return nil
		case c != '\\':
			out = append(out, c)
			continue
		}
		if s.i == len(s.b) {
			break
		}
		c = s.b[s.i]
		s.i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := s.unit()
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if bytes.HasPrefix(s.b[s.i:], []byte(`\u`)) {
					s.i += 2
					low = s.unit()
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					s.fail(field, "holds half of a surrogate pair")
					return nil
				}
			}
			if r < 0 {
				s.fail(field, `holds a \u escape that is not four hex digits`)
				return nil
			}
			out = utf8.AppendRune(out, r)
		default:
			s.fail(field, "holds an escape that JSON does not have")
			return nil
		}
	}
	s.fail(field, "is a string without end")
	return nil
}

// unit reads the four hex digits of an escape, -1 when they are not.
func (s *scanner) unit() rune {
	if len(s.b)-s.i < 4 {
		return -1
	}
	var r rune
	for _, c := range s.b[s.i : s.i+4] {
		d := hexValue(c | 0x20)
		if c < '0' || d > 15 {
			return -1
		}
		r = r<<4 | rune(d)
	}
	s.i += 4
	return r
}

// hexValue is the value of a lower-case hex digit, above 15 for any other byte.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// uint reads a whole number from 0 to limit.
func (s *scanner) uint(field string, limit uint64) uint64 { return s.whole(field, 0, limit) }

// whole reads a whole number from least to most.
func (s *scanner) whole(field string, least, most uint64) uint64 {
	if c := s.peek(); c < '0' || c > '9' {
		s.fail(field, wholeReason(least, most))
		return 0
	}
	start := s.i
	var v uint64
	for s.i < len(s.b) {
		d := uint64(s.b[s.i] - '0')
		if d > 9 {
			break
		}
		if v > (1<<64-1-d)/10 {
			s.fail(field, wholeReason(least, most))
			return 0
		}
		v = v*10 + d
		s.i++
	}
	if s.i < len(s.b) {
		switch s.b[s.i] {
		case '.', 'e', 'E':
			s.fail(field, wholeReason(least, most)+", without fraction or exponent")
			return 0
		}
	}
	if s.b[start] == '0' && s.i-start > 1 {
		s.fail(field, wholeReason(least, most)+", without leading zeros")
		return 0
	}
	if v < least || v > most {
		s.fail(field, wholeReason(least, most))
		return 0
	}
	return v
}

// wholeReason tells the range but where it is only that of 64 bits.
func wholeReason(least, most uint64) string {
	if least == 0 && most >= 1<<63-1 {
		return "must be a whole number that is not negative"
	}
	return fmt.Sprintf("must be a whole number from %d to %d", least, most)
}

func (s *scanner) bool(field string) bool {
	s.peek()
	rest := s.b[s.i:]
	switch {
	case bytes.HasPrefix(rest, []byte("true")):
		s.i += 4
		return true
	case bytes.HasPrefix(rest, []byte("false")):
		s.i += 5
		return false
	}
	s.fail(field, "must be true or false")
	return false
}

func (s *scanner) time(field string) int64 {
	ms, ok := ParseTime(s.text(field))
	if !ok {
		s.fail(field, "must be a UTC time with milliseconds such as 2026-11-21T22:29:21.123Z")
	}
	return ms
}

// hex fills out from exactly twice as many lower-case hex digits.
func (s *scanner) hex(field string, out []byte) {
	t := s.text(field)
	if s.err != nil {
		return
	}
	var bad byte
	if len(t) == 2*len(out) {
		for i := range out {
			h, l := hexValue(t[2*i]), hexValue(t[2*i+1])
			bad |= (h | l) & 0xf0
			out[i] = h<<4 | l
		}
		if bad == 0 {
			return
		}
	}
	s.fail(field, fmt.Sprintf("must be %d lower-case hex digits", 2*len(out)))
}

// item moves to the next element of a list whose '[' was read: first says
// that none was read yet. False at the end or an error.
func (s *scanner) item(field string, first bool) bool {
	c := s.peek()
	if c == ']' {
		s.i++
		return false
	}
	if s.err != nil {
		return false
	}
	if !first {
		if c != ',' {
			s.fail(field, "is not a well formed list")
			return false
		}
		s.i++
	}
	return true
}

func (s *scanner) openList(field string) bool { return s.expect('[', field, "must be a list") }

// skip passes over any value.
func (s *scanner) skip(depth int) {
	if depth > maxDepth {
		s.fail("", "is nested too deeply")
		return
	}
	switch c := s.peek(); {
	case c == '{':
		s.i++
		var f frame
		for {
			if _, ok := s.member(&f); !ok {
				return
			}
			s.skip(depth + 1)
		}
	case c == '[':
		s.i++
		for first := true; s.item("", first); first = false {
			s.skip(depth + 1)
		}
	case c == '"':
		s.text("")
	case c == 't' || c == 'f':
		s.bool("")
	case c == 'n' && bytes.HasPrefix(s.b[s.i:], []byte("null")):
		s.i += 4
	case c == '-' || c >= '0' && c <= '9':
		s.i++
		for s.i < len(s.b) && bytes.IndexByte([]byte("0123456789+-.eE"), s.b[s.i]) >= 0 {
			s.i++
		}
	default:
		s.fail("", "is not well formed JSON")
	}
}

// end checks that only spaces follow.
func (s *scanner) end() {
	if s.err == nil && (s.peek() != 0 || s.i < len(s.b)) {
		s.fail("", "has more after the object's end")
	}
}
