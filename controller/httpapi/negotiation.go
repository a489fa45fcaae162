package httpapi

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// wantsLines chooses between JSON and NDJSON by Accept (RFC 9110, 12.5.1): what
// has the higher quality, and of equal ones NDJSON only where it is named.
func wantsLines(r *http.Request) (bool, error) {
	accept := strings.Join(r.Header["Accept"], ",")
	if strings.Trim(accept, " \t,") == "" {
		return false, nil
	}
	lines, named := quality(accept, "application", "x-ndjson")
	plain, _ := quality(accept, "application", "json")
	if lines == 0 && plain == 0 {
		return false, fmt.Errorf("%w: application/json or application/x-ndjson", errNotAccepted)
	}
	return lines > plain || lines == plain && named, nil
}

// quality is that of a media type in thousandths, as the most specific range
// says which matches it; named: that is the type itself. A range that is not
// well formed is passed over.
func quality(accept, kind, sub string) (q int, named bool) {
	best := 0
	for part := range strings.SplitSeq(accept, ",") {
		t, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		specific := 0
		switch t {
		case kind + "/" + sub:
			specific = 3
		case kind + "/*":
			specific = 2
		case "*/*":
			specific = 1
		}
		weight, ok := 1000, true
		if text, given := params["q"]; given {
			weight, ok = thousandths(text)
		}
		if ok && specific > best {
			best, q = specific, weight
		}
	}
	return q, best == 3
}

// thousandths reads a quality: 0 to 1 with up to three decimals.
func thousandths(text string) (int, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > 1 || len(text) > 5 || strings.Trim(text, "0123456789.") != "" {
		return 0, false
	}
	return int(f*1000 + 0.5), true
}

// contentCoding is the one coding that a body has, in lower case; empty: none.
// A list, in one header or several, is in the order of encoding.
func contentCoding(r *http.Request) (string, error) {
	coding := ""
	for _, v := range r.Header["Content-Encoding"] {
		for part := range strings.SplitSeq(v, ",") {
			part = strings.ToLower(strings.Trim(part, " \t"))
			switch {
			case part == "" || part == "identity":
			case coding != "":
				return "", fmt.Errorf("%w: both %q and %q; one at most", errNoEncoding, coding, part)
			default:
				coding = part
			}
		}
	}
	if coding == "x-gzip" {
		coding = "gzip"
	}
	return coding, nil
}
