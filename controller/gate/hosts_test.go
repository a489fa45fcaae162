package gate

import (
	"errors"
	"net/http"
	"testing"
)

func TestAdmit(t *testing.T) {
	h := NewHosts("go away", "R1.example", "192.0.2.7", "2001:DB8::1")
	for _, test := range []struct {
		host, header, value string
		want                error
	}{
		{host: "127.0.0.1:9090"}, {host: "127.0.0.1"}, {host: "127.8.8.8:1"}, {host: "localhost:9090"}, {host: "LOCALHOST"}, {host: "localhost."},
		{host: "[::1]:9090"}, {host: "[::1]"}, {host: "r1.example:9090"}, {host: "R1.EXAMPLE."}, {host: "192.0.2.7:80"}, {host: "[2001:db8:0::1]:80"},
		{host: "[::ffff:127.0.0.1]:9090"},
		{host: "evil.example", want: ErrForeignHost}, {host: "localhost.evil.example:80", want: ErrForeignHost}, {host: "127.0.0.1.evil.example", want: ErrForeignHost},
		{host: "192.0.2.8", want: ErrForeignHost}, {host: "0.0.0.0", want: ErrForeignHost}, {host: "", want: ErrForeignHost}, {host: "[::2]:9090", want: ErrForeignHost},
		{"localhost:8080", "Origin", "http://localhost:8080", nil},
		{"localhost:8080", "Origin", "http://LOCALHOST:8080", nil},
		{"localhost:8080", "Origin", "http://localhost:9090", ErrCrossSite},
		{"localhost:8080", "Origin", "http://evil.example", ErrCrossSite},
		{"localhost:8080", "Origin", "null", ErrCrossSite},
		{"localhost:8080", "Sec-Fetch-Site", "same-origin", nil},
		{"localhost:8080", "Sec-Fetch-Site", "none", nil},
		{"localhost:8080", "Sec-Fetch-Site", "same-site", ErrCrossSite},
		{"localhost:8080", "Sec-Fetch-Site", "cross-site", ErrCrossSite},
	} {
		r := &http.Request{Host: test.host, Header: http.Header{}}
		if test.header != "" {
			r.Header.Set(test.header, test.value)
		}
		if err := h.Admit(r); !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("Host %q, %s %q: %v, want %v", test.host, test.header, test.value, err, test.want)
		}
		if err := h.AdmitHost(r); errors.Is(err, ErrForeignHost) != errors.Is(test.want, ErrForeignHost) || errors.Is(err, ErrCrossSite) {
			t.Errorf("Host %q alone, %s %q: %v", test.host, test.header, test.value, err)
		}
	}
	r := &http.Request{Host: "localhost:8080", Header: http.Header{"Origin": {"http://localhost:8080"}}}
	if n := testing.AllocsPerRun(100, func() { _ = h.Admit(r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
