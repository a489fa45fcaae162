package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"dvr/controller/service"
)

// pages follows a listing to its end.
func pages(t *testing.T, a *api, query string, each func(n int)) (all []string, revisions map[any]bool) {
	t.Helper()
	revisions = map[any]bool{}
	cursor := ""
	for n := 0; ; n++ {
		r := a.must("GET", "/v1/routes?"+query+cursor, "")
		m := r.json(t)
		revisions[m["revision"]] = true
		for _, x := range m["routes"].([]any) {
			x := x.(map[string]any)
			all = append(all, fmt.Sprint(x["router"], " ", x["destination"], " ", x["next_hop"]))
		}
		next, _ := m["next"].(string)
		if next != r.Header.Get("DVR-Next-Cursor") {
			t.Errorf("next %q, header %q", next, r.Header.Get("DVR-Next-Cursor"))
		}
		if next == "" {
			return all, revisions
		}
		cursor = "&cursor=" + url.QueryEscape(next)
		if each != nil {
			each(n)
		}
		if n > 100 {
			t.Fatal("the listing does not end")
		}
	}
}

func TestPagesArePinned(t *testing.T) {
	a := newAPI(t)
	var want []string
	for _, d := range []string{"10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16", "2001:db8::/32"} {
		for _, hop := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} {
			a.add(d, hop, 1)
			want = append(want, "* "+d+" "+hop)
		}
	}
	for limit := 1; limit <= 13; limit++ {
		all, revisions := pages(t, a, fmt.Sprintf("limit=%d", limit), func(n int) {
			a.add(fmt.Sprintf("172.16.%d.0/24", limit*15+n), "192.0.2.1", 1) // must not be seen
		})
		if d := cmp.Diff(want, all); d != "" {
			t.Errorf("limit %d: %s", limit, d)
		}
		if len(revisions) != 1 {
			t.Errorf("limit %d: revisions %v", limit, revisions)
		}
		a.must("POST", "/v1/routes/import", withdrawAll(t, a, "172.16.0.0/12"), "Content-Type: application/x-ndjson")
	}
}

// withdrawAll is the import that withdraws everything within a prefix.
func withdrawAll(t *testing.T, a *api, within string) string {
	t.Helper()
	r := a.must("GET", "/v1/routes?within="+within, "", "Accept: application/x-ndjson")
	if r.Body == "" {
		return `{"withdraw":true,"destination":"203.0.113.0/24","next_hop":"192.0.2.1"}` + "\n"
	}
	out := strings.ReplaceAll(r.Body, `"kind":"route.announced"`, `"kind":"route.withdrawn"`)
	return strings.ReplaceAll(out, `,"metric":1`, "")
}

func TestFilters(t *testing.T) {
	a := newAPI(t)
	a.add("10.0.0.0/8", "192.0.2.1", 1)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.add("10.1.0.0/16", "192.0.2.2", 1)
	a.add("10.1.2.0/24", "192.0.2.2", 1)
	a.must("POST", "/routes", `{"destination":"10.1.2.0/24","next_hop":"192.0.2.3","router":"r1","tags":["core","transit"]}`)
	a.must("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.2","metric":1,"tags":["transit"]}`)
	for _, c := range []struct {
		query string
		want  string
	}{
		{"next_hop=192.0.2.2", "* 10.1.0.0/16 192.0.2.2, * 10.1.2.0/24 192.0.2.2"},
		{"tag=transit", "* 10.1.0.0/16 192.0.2.2, r1 10.1.2.0/24 192.0.2.3"},
		{"tag=core&within=10.1.2.0/24", "r1 10.1.2.0/24 192.0.2.3"},
		{"tag=cor", ""},
		{"router=r1", "r1 10.1.2.0/24 192.0.2.3"},
		{"router=*&within=10.1.2.0/24", "* 10.1.2.0/24 192.0.2.2"},
		{"within=10.1.0.0/16&next_hop=192.0.2.1", "* 10.1.0.0/16 192.0.2.1"},
		{"covering=10.1.2.3", "* 10.0.0.0/8 192.0.2.1, * 10.1.0.0/16 192.0.2.1, * 10.1.0.0/16 192.0.2.2, * 10.1.2.0/24 192.0.2.2, r1 10.1.2.0/24 192.0.2.3"},
		{"covering=10.1.0.0/16&next_hop=192.0.2.1", "* 10.0.0.0/8 192.0.2.1, * 10.1.0.0/16 192.0.2.1"},
		{"covering=10.1.2.0/24&within=10.1.0.0/16&router=*", "* 10.1.0.0/16 192.0.2.1, * 10.1.0.0/16 192.0.2.2, * 10.1.2.0/24 192.0.2.2"},
		{"covering=172.16.0.1", ""},
	} {
		for limit := 1; limit < 7; limit++ {
			all, _ := pages(t, a, fmt.Sprintf("%s&limit=%d", c.query, limit), nil)
			if got := strings.Join(all, ", "); got != c.want {
				t.Errorf("%s, limit %d:\n got %s\nwant %s", c.query, limit, got, c.want)
			}
		}
	}
}

// TestOffsets: any piece of a listing is the same as it is in the whole.
func TestOffsets(t *testing.T) {
	a := newAPI(t)
	for i := range 7 {
		a.add(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.1", 1)
		a.add(fmt.Sprintf("10.%d.0.0/16", i), fmt.Sprintf("192.0.2.%d", 2+i%2), 1)
	}
	a.add("2001:db8::/32", "2001:db8::1", 1)
	a.must("POST", "/routes", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.7","tags":["core"]}`)
	a.must("POST", "/routes", `{"destination":"10.6.0.0/16","next_hop":"192.0.2.7","tags":["core"]}`)
	for _, filter := range []string{
		"", "next_hop=192.0.2.1&", "within=10.2.0.0%2F15&", "covering=10.4.0.1&", "next_hop=192.0.2.9&", "tag=core&", "tag=none&",
		"next_hop=192.0.2.3&within=10.0.0.0%2F13&", "covering=10.3.0.1&tag=core&",
	} {
		whole, _ := pages(t, a, filter, nil)
		for offset := 0; offset <= len(whole)+1; offset++ {
			for _, limit := range []int{1, 3, 20} {
				m := a.must("GET", fmt.Sprintf("/v1/routes?%stotal=true&offset=%d&limit=%d", filter, offset, limit), "").json(t)
				got := []string{}
				for _, x := range m["routes"].([]any) {
					x := x.(map[string]any)
					got = append(got, fmt.Sprint(x["router"], " ", x["destination"], " ", x["next_hop"]))
				}
				from := min(offset, len(whole))
				want := append([]string{}, whole[from:min(from+limit, len(whole))]...)
				if diff := cmp.Diff(want, got); diff != "" || m["total"] != float64(len(whole)) || m["next"] != nil {
					t.Errorf("%soffset=%d limit=%d: total %v, next %v: %s", filter, offset, limit, m["total"], m["next"], diff)
				}
			}
		}
	}
	if m := a.must("GET", "/v1/routes?total=true&limit=2", "").json(t); m["total"] != 17.0 || m["next"] == nil {
		t.Errorf("%v", m)
	}
	for query, field := range map[string]string{
		"offset=-1": "offset", "offset=x": "offset", "total=1": "total", "offset=1&cursor=x": "offset", "total=true&cursor=x": "total",
	} {
		if r := a.do("GET", "/v1/routes?"+query, ""); r.Code != 400 || r.json(t)["field"] != field {
			t.Errorf("%s: %d %s", query, r.Code, r.Body)
		}
	}
	if r := a.do("GET", "/v1/routes?offset=1", "", "Accept: application/x-ndjson"); r.Code != 400 || r.json(t)["field"] != "offset" {
		t.Errorf("a stream with an offset: %d %s", r.Code, r.Body)
	}
}

func TestCursorsOfOtherListings(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.add("10.2.0.0/16", "192.0.2.1", 1)
	first := a.must("GET", "/v1/routes?limit=1", "").json(t)["next"].(string)
	if r := a.do("GET", "/v1/routes?limit=1&within=10.0.0.0/8&cursor="+first, ""); r.Code != 400 || r.json(t)["field"] != "cursor" {
		t.Errorf("other filters: %d %s", r.Code, r.Body)
	}
	// Other listings, however many begin, do not end this one: those past the
	// bound are refused.
	refused := 0
	for i := range 300 {
		a.add(fmt.Sprintf("10.3.%d.0/24", i%250), "192.0.2.1", i)
		switch r := a.do("GET", "/v1/routes?limit=1", ""); r.Code {
		case 200:
		case 429:
			refused++
		default:
			t.Fatalf("listing %d: %d %s", i, r.Code, r.Body)
		}
	}
	if refused == 0 {
		t.Error("nothing bounds the states that are kept")
	}
	if r := a.do("GET", "/v1/routes?limit=1&cursor="+first, ""); r.Code != 200 || !strings.Contains(r.Body, "10.2.0.0/16") {
		t.Errorf("the first listing goes on: %d %s", r.Code, r.Body)
	}
	if r := a.do("GET", "/v1/routes", ""); r.Code != 200 {
		t.Errorf("a listing of one page: %d", r.Code)
	}
	gone := base64.RawURLEncoding.EncodeToString(bytes.Replace(decoded(t, first), []byte(" 1 3 "), []byte(" 1 2 "), 1))
	if r := a.do("GET", "/v1/routes?limit=1&cursor="+gone, ""); r.Code != 410 {
		t.Errorf("a state that was not kept: %d %s", r.Code, r.Body)
	}
}

func decoded(t *testing.T, cursor string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEveryCursorIsTaken: what DVR-Next-Cursor gives is a value of cursor=, in
// every paged list, and leads through all of it.
func TestEveryCursorIsTaken(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/routers/r1", `{}`)
	for i := range 5 {
		a.add(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.1", 1)
	}
	for path, c := range map[string]struct {
		list string
		all  int
	}{"/v1/routes": {"routes", 5}, "/v1/commits": {"commits", 7}, "/v1/routers/r1/vector": {"vector", 5}} {
		for limit := 1; limit <= 8; limit++ {
			cursor, n := "", 0
			for page := 0; ; page++ {
				r := a.must("GET", fmt.Sprintf("%s?limit=%d%s", path, limit, cursor), "")
				m := r.json(t)
				n += len(m[c.list].([]any))
				next := r.Header.Get("DVR-Next-Cursor")
				if told, ok := m["next"]; ok != (next != "") || ok && fmt.Sprint(told) != next {
					t.Errorf("%s: next is %v, the header %q", path, told, next)
				}
				if next == "" || page > 10 {
					break
				}
				cursor = "&cursor=" + url.QueryEscape(next)
			}
			if n != c.all {
				t.Errorf("%s by %d: %d of %d", path, limit, n, c.all)
			}
		}
	}
	for _, target := range []string{"/v1/commits?after=1&cursor=1", "/v1/routers/r1/vector?after=10.0.0.0/16&cursor=10.0.0.0/16"} {
		if r := a.do("GET", target, ""); r.Code != 400 || r.json(t)["field"] != "cursor" {
			t.Errorf("%s: %d %s", target, r.Code, r.Body)
		}
	}
}

func TestExportIsImportable(t *testing.T) {
	a := newAPI(t)
	a.must("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":5,"router":"r1","tags":["x"],"weight":3,"preference":7}`)
	a.must("POST", "/routes", `{"destination":"2001:db8::/32","next_hop":"fe80::1","interface":"eth0"}`)
	a.must("POST", "/routes", `{"destination":"10.2.0.0/16","type":"blackhole"}`)
	r := a.must("GET", "/v1/routes", "", "Accept: application/x-ndjson")
	if r.Header.Get("Content-Type") != "application/x-ndjson" || strings.Count(r.Body, "\n") != 3 {
		t.Fatalf("%v %s", r.Header, r.Body)
	}
	b := newAPI(t)
	if m := b.importLines("/v1/routes/import", r.Body).json(t); m["accepted"] != float64(3) {
		t.Fatalf("%v", m)
	}
	if again := b.must("GET", "/v1/routes", "", "Accept: application/x-ndjson"); again.Body != r.Body {
		t.Errorf("\n%s\n%s", again.Body, r.Body)
	}
}

func TestImportForms(t *testing.T) {
	a := newAPI(t)
	body := lines(
		`{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":3}`,
		``,
		`  {"destination": "10.2.0.0/16", "next_hop": "192.0.2.1"}  `+"\r",
		`{"kind":"route.announced","destination":"10.3.0.0/16","next_hop":"192.0.2.1"}`,
		`{"next_hop":"192.0.2.1","destination":"10.4.0.0/16","kind":"route.announced"}`,
		`{"destination":"10.5.0.0/16","type":"blackhole","tags":["withdraw"]}`,
		`{"withdraw":true,"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`,
		`{"destination":"10.2.0.0/16","next_hop":"192.0.2.1" , "withdraw" : true}`,
		`{"kind":"route.withdrawn","destination":"10.3.0.0/16","next_hop":"192.0.2.1"}`,
		`{"destination":"10.1.0.0/16","next_hop":"192.0.2.9"}`,
	)
	m := a.importLines("/v1/routes/import?reason=test", strings.TrimSuffix(body, "\n"), "Idempotency-Key: imp").json(t)
	if m["accepted"] != float64(9) || len(m["refused"].([]any)) != 0 || m["first_revision"] != float64(2) || m["last_revision"] != float64(3) {
		t.Fatalf("%v", m)
	}
	all, _ := pages(t, a, "", nil)
	if got := strings.Join(all, ", "); got != "* 10.1.0.0/16 192.0.2.9, * 10.4.0.0/16 192.0.2.1, * 10.5.0.0/16 <nil>" {
		t.Errorf("state: %s", got)
	}
	// The second chunk begins where the same route comes again.
	for rev, n := range map[int]float64{2: 5, 3: 4} {
		c := a.must("GET", fmt.Sprintf("/v1/commits/%d", rev), "").json(t)
		if c["id"] != fmt.Sprintf("imp/%d", rev-1) || c["n"] != n || c["reason"] != "test" {
			t.Errorf("commit %d: %v", rev, c)
		}
	}
}

func TestImportRefusals(t *testing.T) {
	a := newAPI(t)
	bad := []struct{ line, field string }{
		{`garbage`, ""}, {`[]`, ""}, {`{}`, "destination"}, {`{"destination":"10.0.0.1/8"}`, "destination"},
		{`{"destination":"10.0.0.0/8","next_hop":"224.0.0.1"}`, "next_hop"},
		{`{"destination":"10.0.0.0/8","x":1}`, "x"},
		{`{"destination":"224.0.0.0/4","next_hop":"192.0.2.1"}`, "destination"},
		{`{"destination":"10.0.0.0/8","metric":1,"metric":2}`, "metric"},
		{`{"destination":"10.0.0.0/8","next_hop":"192.0.2.1","vrf":"red"}`, "vrf"},
		{`{"withdraw":false,"destination":"10.0.0.0/8"}`, "withdraw"},
		{`{"withdraw":true,"destination":"10.0.0.0/8","metric":1}`, "metric"},
		{`{"kind":"router.set","router":"r 1"}`, "router"},
		{`{"kind":"key.put","key":"a","value":"b"}`, "kind"},
		{`{"destination":"` + strings.Repeat("x", service.MaxLine) + `"}`, ""},
		{"{\"destination\":\"\xff\"}", "destination"},
	}
	var text []string
	for i, b := range bad {
		text = append(text, b.line, fmt.Sprintf(`{"destination":"10.9.%d.0/24","next_hop":"192.0.2.1"}`, i))
	}
	m := a.importLines("/v1/routes/import", lines(text...)).json(t)
	refused := m["refused"].([]any)
	if m["accepted"] != float64(len(bad)) || len(refused) != len(bad) {
		t.Fatalf("%v", m)
	}
	for i, r := range refused {
		r := r.(map[string]any)
		field, _ := r["field"].(string)
		if r["line"] != float64(2*i+1) || field != bad[i].field || r["reason"] == "" {
			t.Errorf("%.80s: %v", bad[i].line, r)
		}
	}

	// Only the first hundred are told, all are counted; nothing good: nothing stored.
	at := a.revision()
	r := a.importLines("/v1/routes/import", strings.Repeat("garbage\n", 1000))
	m = r.json(t)
	if r.Code != 400 || len(m["refused"].([]any)) != service.MaxRefused || m["refused_count"] != float64(1000) || !strings.HasPrefix(m["field"].(string), "line 1") || a.revision() != at {
		t.Errorf("%d %.300s", r.Code, r.Body)
	}
	for _, c := range []struct {
		body string
		code int
		head string
	}{
		{"", 400, "X-A: b"}, {"\n\n \n", 400, "X-A: b"}, {"{}", 415, "Content-Type: application/json"}, {"{}", 415, "Content-Encoding: br"},
		{"{}", 400, "Content-Encoding: gzip"}, {"{}", 400, "Content-Encoding: zstd"}, {"", 400, "Content-Encoding: gzip"}, {"{}", 400, `If-Match: "1-1"`},
	} {
		if r := a.importLines("/v1/routes/import", c.body, c.head); r.Code != c.code || a.revision() != at {
			t.Errorf("%q %s: %d %s", c.body, c.head, r.Code, r.Body)
		}
	}
}

func manyRoutes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"destination":"10.%d.%d.0/24","next_hop":"192.0.2.1","metric":%d}`+"\n", i/256, i%256, i)
	}
	return b.String()
}

func TestCompressedImports(t *testing.T) {
	text := manyRoutes(2500)
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	_, _ = io.WriteString(g, text)
	_ = g.Close()
	z, _ := zstd.NewWriter(&zs)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	for encoding, body := range map[string]string{"gzip": gz.String(), "zstd": zs.String(), "identity": text} {
		a := newAPI(t)
		m := a.importLines("/v1/routes/import", body, "Content-Encoding: "+encoding).json(t)
		if m["accepted"] != float64(2500) || m["last_revision"] != float64(4) {
			t.Errorf("%s: %v", encoding, m)
		}
		// Cut in the middle: an error, and what came whole is there.
		b := newAPI(t)
		r := b.importLines("/v1/routes/import", body[:len(body)*2/3], "Content-Encoding: "+encoding)
		if encoding != "identity" && (r.Code != 400 || r.json(t)["key"] == "") {
			t.Errorf("%s cut: %d %.300s", encoding, r.Code, r.Body)
		}
	}
}

// TestImportResumes: the same input under the same key stores nothing twice,
// whole or after a cut at any place.
func TestImportResumes(t *testing.T) {
	text := manyRoutes(3500)
	for _, cut := range []int{0, 1, 40000, 90000, 150000, len(text)} {
		a := newAPI(t)
		_ = a.send("POST", "/v1/routes/import", io.MultiReader(strings.NewReader(text[:cut]), broken{}), "Content-Type: application/x-ndjson", "Idempotency-Key: k")
		partly := a.revision()
		if partly > 5 {
			t.Fatalf("cut at %d: revision %d", cut, partly)
		}
		r := a.importLines("/v1/routes/import", text, "Idempotency-Key: k")
		m := r.json(t)
		if r.Code != 200 || m["accepted"] != float64(3500) || a.revision() != 5 {
			t.Errorf("cut at %d: revision %d, then %d, %d %v", cut, partly, a.revision(), r.Code, m)
		}
		if replayed := r.Header.Get("DVR-Replayed") == "true"; replayed != (partly > 1) {
			t.Errorf("cut at %d: replayed %v after revision %d", cut, replayed, partly)
		}
		other := a.importLines("/v1/routes/import", strings.Replace(text, "192.0.2.1", "192.0.2.2", 1), "Idempotency-Key: k")
		if other.Code != 422 || a.revision() != 5 {
			t.Errorf("another input under the key: %d %s", other.Code, other.Body)
		}
	}
}

// broken is a connection that was cut.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestBigTableIsStreamed: the map of a table larger than many buffers is whole
// and well formed.
func TestBigTableIsStreamed(t *testing.T) {
	a := newAPI(t)
	const n = 20000
	a.importLines("/v1/routes/import", manyRoutes(n))
	if m := a.must("GET", "/routes", "").json(t); len(m["routes"].(map[string]any)) != n {
		t.Errorf("%d entries", len(m["routes"].(map[string]any)))
	}
	r := a.must("GET", "/v1/routes", "", "Accept: application/x-ndjson")
	if strings.Count(r.Body, "\n") != n {
		t.Errorf("%d lines", strings.Count(r.Body, "\n"))
	}
}
