package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dvr/eventlog"
)

// body is the JSON of a value.
func body(value string) string {
	raw, err := json.Marshal(map[string]string{"value": value})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func (a *api) put(key, value string, headers ...string) answer {
	a.t.Helper()
	return a.must("PUT", "/kv/"+url.PathEscape(key), body(value), headers...)
}

// keys decodes a flat map.
func keys(t testing.TB, r answer) map[string]string {
	t.Helper()
	m := map[string]string{}
	if err := json.Unmarshal([]byte(r.Body), &m); err != nil {
		t.Fatalf("%v in %q", err, r.Body)
	}
	return m
}

// TestKeysInPaths: each spelling of a path names the key that it unescapes to
// once, whatever router and URL parser make of it.
func TestKeysInPaths(t *testing.T) {
	a := newAPI(t)
	long := strings.Repeat("k", eventlog.MaxKey)
	for _, c := range []struct{ path, key string }{
		{"raft", "raft"}, {"a/b", "a/b"}, {"a%2Fb", "a/b"}, {"a%2fb", "a/b"}, {"a%252Fb", "a%2Fb"}, {"a%25252Fb", "a%252Fb"},
		{"%25", "%"}, {"%2525", "%25"}, {"100%25", "100%"}, {"100%25/x", "100%/x"}, {"100%25%2Fx", "100%/x"},
		{"%C3%BC", "ü"}, {"ü", "ü"}, {"%F0%9F%94%91", "🔑"}, {"a%20b", "a b"}, {"%20", " "}, {"a+b", "a+b"}, {"a%2Bb", "a+b"},
		{"..", ".."}, {"%2E%2E", ".."}, {".", "."}, {"a/../b", "a/../b"}, {"../../etc/passwd", "../../etc/passwd"}, {"%2e%2e%2fx", "../x"},
		{"/", "/"}, {"//", "//"}, {"/a", "/a"}, {"a/", "a/"}, {"a//b", "a//b"}, {"a%2F", "a/"}, {"%2F", "/"}, {"%2F/", "//"},
		{"a%3Fb", "a?b"}, {"a%23b", "a#b"}, {"a;b", "a;b"}, {"a=b&c", "a=b&c"}, {":key", ":key"}, {"*", "*"}, {"watch", "watch"}, {"history/x", "history/x"},
		{"%00", "\x00"}, {"%0A", "\n"}, {"%22%5C", `"\`}, {"a%7Fb", "a\x7fb"}, {long, long}, {strings.Repeat("%2F", eventlog.MaxKey), strings.Repeat("/", eventlog.MaxKey)},
	} {
		value := c.path + " is kept"
		r := a.do("PUT", "/kv/"+c.path, body(value))
		if r.Code != 200 || r.json(t)["key"] != c.key {
			t.Errorf("PUT /kv/%.40s: %d %.200s", c.path, r.Code, r.Body)
			continue
		}
		if got, ok := a.app.State().Key(c.key); !ok || got.Value != value {
			t.Errorf("PUT /kv/%.40s did not set %.40q", c.path, c.key)
		}
		for _, spelling := range []string{c.path, url.PathEscape(c.key), percent(c.key)} {
			r := a.do("GET", "/kv/"+spelling, "")
			if r.Code != 200 || r.json(t)["value"] != value || r.json(t)["key"] != c.key {
				t.Errorf("GET /kv/%.40s: %d %.200s", spelling, r.Code, r.Body)
			}
			if h := a.do("GET", "/v1/kv/history/"+spelling, ""); h.Code != 200 || h.json(t)["key"] != c.key {
				t.Errorf("history of %.40s: %d %.200s", spelling, h.Code, h.Body)
			}
		}
	}
	want := map[string]string{}
	for k := range a.app.State().Keys("", "") {
		want[k.Key] = k.Value
	}
	if diff := cmp.Diff(want, keys(t, a.must("GET", "/kv", ""))); diff != "" {
		t.Error(diff)
	}
	for k := range want {
		if r := a.must("DELETE", "/kv/"+percent(k), ""); r.json(t)["existed"] != true {
			t.Errorf("DELETE %.40q: %.200s", k, r.Body)
		}
	}
	if got := a.must("GET", "/kv", "").Body; got != "{}\n" {
		t.Errorf("left: %.200s", got)
	}
}

// percent escapes every byte.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

func TestBadKeys(t *testing.T) {
	a := newAPI(t)
	a.put("there", "x")
	at := a.revision()
	for _, c := range []struct{ method, target, body, field string }{
		{"PUT", "/kv/", `{"value":"x"}`, "key"}, {"GET", "/kv/", "", "key"}, {"DELETE", "/kv/", "", "key"}, {"GET", "/v1/kv/history/", "", "key"},
		{"PUT", "/kv/" + strings.Repeat("k", eventlog.MaxKey+1), `{"value":"x"}`, "key"},
		{"GET", "/kv/" + strings.Repeat("k", eventlog.MaxKey+1), "", "key"},
		{"PUT", "/kv/" + strings.Repeat("%C3%BC", eventlog.MaxKey/2) + "x", `{"value":"x"}`, "key"},
		{"PUT", "/kv/%FF", `{"value":"x"}`, "key"}, {"GET", "/kv/a%C3", "", "key"},
		{"PUT", "/kv/a", `{"value":""}`, "value"}, {"PUT", "/kv/a", `{}`, "value"}, {"PUT", "/kv/a", `{"value":null}`, "value"},
		{"PUT", "/kv/a", `{"value":7}`, "value"}, {"PUT", "/kv/a", `{"value":{"a":1}}`, "value"}, {"PUT", "/kv/a", `{"Value":"x"}`, "Value"},
		{"PUT", "/kv/a", `{"value":"x","ttl":1}`, "ttl"}, {"PUT", "/kv/a", `{"value":"x","value":"y"}`, "value"},
		{"PUT", "/kv/a", `{"value":"\ud800"}`, ""}, {"PUT", "/kv/a", "{\"value\":\"\xff\"}", ""},
		{"PUT", "/kv/a", "", "body"}, {"PUT", "/kv/a", "[]", "body"}, {"PUT", "/kv/a", `"x"`, "body"}, {"PUT", "/kv/a", `{"value":"x"}{}`, "body"},
		{"PUT", "/kv/a", body(strings.Repeat("x", eventlog.MaxValue+1)), "value"},
		{"PUT", "/kv/a", body(strings.Repeat("ü", eventlog.MaxValue/2) + "x"), "value"},
		{"PUT", "/kv/a", body(strings.Repeat("x", maxKeyBody)), "value"},
		{"PUT", "/kv/a", body(strings.Repeat("x", 9<<20)), "value"},
		{"DELETE", "/kv/a", `{"value":"x"}`, "body"},
		{"PUT", "/kv/a?prefix=b", `{"value":"x"}`, "prefix"}, {"PUT", "/kv/a?wait=maybe", `{"value":"x"}`, "wait"}, {"GET", "/kv/a?prefix=b", "", "prefix"},
		{"GET", "/kv/there?at=0", "", "at"}, {"GET", "/kv/there?at=x", "", "at"}, {"GET", "/kv/there?at=99", "", "at"}, {"GET", "/kv?at=99", "", "at"},
		{"GET", "/kv/there?consistency=strong", "", "consistency"}, {"GET", "/kv/there?min_revision=x", "", "min_revision"},
		{"GET", "/kv?limit=0", "", "limit"}, {"GET", "/kv?limit=10001", "", "limit"}, {"GET", "/kv?cursor=zzz", "", "cursor"}, {"GET", "/kv?prefix=%FF", "", "prefix"},
		{"GET", "/kv?prefix=" + strings.Repeat("k", eventlog.MaxKey+1), "", "prefix"},
		{"GET", "/v1/kv/history/there?limit=1001", "", "limit"}, {"GET", "/v1/kv/history/there?before=0", "", "before"}, {"GET", "/v1/kv/history/there?cursor=x", "", "cursor"},
		{"GET", "/v1/kv/history/there?cursor=2&before=2", "", "cursor"},
		{"GET", "/v1/kv/watch?after=99", "", "after"}, {"GET", "/v1/kv/watch?after=x", "", "after"}, {"GET", "/v1/kv/watch?prefix=%FF", "", "prefix"},
		{"GET", "/v1/kv/watch?timeout=1", "", "timeout"}, {"GET", "/v1/kv/watch?limit=1", "", "limit"},
		{"POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"a","value":""}]}`, "events[0].value"},
		{"POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"","value":"v"}]}`, "events[0].key"},
		{"POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"a","value":"v"},{"kind":"key.deleted","key":"a"}]}`, "events[1].key"},
	} {
		r := a.do(c.method, c.target, c.body)
		if r.Code != 400 || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %.60s %.60s: %d %.300s", c.method, c.target, c.body, r.Code, r.Body)
			continue
		}
		if got, _ := r.json(t)["field"].(string); c.field != "" && got != c.field {
			t.Errorf("%s %.60s %.60s: field %q, want %q: %.300s", c.method, c.target, c.body, got, c.field, r.Body)
		}
	}
	for _, c := range []struct {
		method, target string
		code           int
	}{{"POST", "/kv/a", 405}, {"POST", "/kv", 405}, {"PATCH", "/kv/a", 405}, {"GET", "/kvx", 404}, {"GET", "/v1/kv", 404}} {
		if r := a.do(c.method, c.target, ""); r.Code != c.code {
			t.Errorf("%s %s: %d", c.method, c.target, r.Code)
		}
	}
	if r := a.do("PUT", "/kv/a", "value=x", "Content-Type: application/x-www-form-urlencoded"); r.Code != 415 {
		t.Errorf("a form: %d", r.Code)
	}
	if a.revision() != at {
		t.Errorf("refused, and %d commits were stored", a.revision()-at)
	}
}

func TestValuesComeBackAsTheyAre(t *testing.T) {
	a := newAPI(t)
	for i, v := range []string{"x", " ", "\n", "null", "a\x00b\x1f", `"\/`, "ü€🔑", "</script>", strings.Repeat("x", eventlog.MaxValue), strings.Repeat("🔑", eventlog.MaxValue/4)} {
		key := fmt.Sprint("k", i)
		a.put(key, v)
		if got := a.must("GET", "/kv/"+key, "").json(t)["value"]; got != v {
			t.Errorf("%.30q came back as %.30q", v, got)
		}
	}
	// Every byte escaped, the largest body that is needed.
	a.must("PUT", "/kv/escaped", `{ "value" : "`+strings.Repeat(`\u0061`, eventlog.MaxValue)+"\" }\n")
	if got := a.must("GET", "/kv/escaped", "").json(t)["value"]; got != strings.Repeat("a", eventlog.MaxValue) {
		t.Errorf("%.30q", got)
	}
}

func TestAbsentIs404AndNothingElseIs(t *testing.T) {
	a := newAPI(t)
	a.put("there", "x")
	if r := a.do("GET", "/kv/absent", ""); r.Code != 404 || !strings.Contains(r.json(t)["error"].(string), `"absent"`) || r.Header.Get("DVR-Position") == "" {
		t.Errorf("absent: %d %s", r.Code, r.Body)
	}
	a.log.Faults().Down(eventlog.ErrUnavailable)
	for _, c := range []struct {
		method, target, body string
		code                 int
	}{
		{"GET", "/kv/there", "", 200}, {"GET", "/kv/there?consistency=linearizable", "", 503}, {"GET", "/kv/there?consistency=local", "", 200},
		{"GET", "/kv/absent?consistency=linearizable", "", 503}, {"GET", "/kv", "", 200}, {"GET", "/kv/there?at=2", "", 200},
		{"GET", "/kv/there?min_revision=99&timeout=10ms", "", 503}, {"GET", "/kv/absent?at=99", "", 503},
		{"PUT", "/kv/x?timeout=100ms", `{"value":"y"}`, 504}, {"DELETE", "/kv/there?timeout=100ms", "", 503}, {"GET", "/v1/kv/history/there", "", 503},
	} {
		r := a.do(c.method, c.target, c.body)
		if r.Code != c.code {
			t.Errorf("without quorum %s %s: %d %s, want %d", c.method, c.target, r.Code, r.Body, c.code)
		}
		if r.Code == 503 && r.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: no Retry-After", c.method, c.target)
		}
	}
	if r := a.do("GET", "/kv/there", ""); r.Header.Get("DVR-Stale") != "true" || r.json(t)["stale"] != true {
		t.Errorf("not marked stale: %v %s", r.Header, r.Body)
	}
}

func TestKeyPreconditions(t *testing.T) {
	a := newAPI(t)
	for _, key := range []string{"a", "b/c", "ü %"} {
		target := "/kv/" + url.PathEscape(key)
		code := func(method string, headers ...string) int {
			value := ""
			if method == "PUT" {
				value = body(fmt.Sprint("v", a.revision()))
			}
			return a.do(method, target, value, headers...).Code
		}
		expect := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s: %d, want %d", key, what, got, want)
			}
		}
		expect("If-Match * of nothing", code("PUT", "If-Match: *"), 412)
		expect("If-Match * of nothing, delete", code("DELETE", "If-Match: *"), 412)
		expect("If-None-Match * of nothing, delete", code("DELETE", "If-None-Match: *"), 200)
		expect("create", code("PUT", "If-None-Match: *"), 200)
		expect("create again", code("PUT", "If-None-Match: *"), 412)
		put := a.put(key, "v")
		tag := put.Header.Get("ETag")
		if got := a.must("GET", target, "").Header.Get("ETag"); got != tag || !strings.HasPrefix(tag, fmt.Sprintf(`"1-%d-`, a.revision())) {
			t.Errorf("%s: ETag of PUT %s, of GET %s", key, tag, got)
		}
		expect("not modified", code("GET", "If-None-Match: "+tag), 304)
		a.put("another", "x")
		expect("another key changed", code("GET", "If-None-Match: "+tag), 304)
		expect("replace", code("PUT", "If-Match: "+tag), 200)
		expect("modified", code("GET", "If-None-Match: "+tag), 200)
		expect("stale", code("PUT", "If-Match: "+tag), 412)
		expect("stale delete", code("DELETE", "If-Match: "+tag), 412)
		expect("delete unless it is that one", code("DELETE", "If-None-Match: "+tag), 200)
		a.put(key, "w")
		tag = a.must("GET", target, "").Header.Get("ETag")
		expect("delete", code("DELETE", "If-Match: "+tag[:strings.LastIndexByte(tag, '-')]+`"`), 200)
		expect("the tag of one that is gone", code("PUT", "If-Match: "+tag), 412)
	}
}

// TestCompareAndSwap: of many that increment under If-Match none is lost.
func TestCompareAndSwap(t *testing.T) {
	a := newAPI(t)
	a.put("n", "0")
	const callers, each = 8, 10
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for done := 0; done < each; {
				r := a.do("GET", "/kv/n", "")
				n := 0
				_, _ = fmt.Sscan(r.json(t)["value"].(string), &n)
				switch w := a.do("PUT", "/kv/n", body(fmt.Sprint(n+1)), "If-Match: "+r.Header.Get("ETag")); w.Code {
				case 200:
					done++
				case 412:
				default:
					t.Errorf("%d %s", w.Code, w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := a.must("GET", "/kv/n", "").json(t)["value"]; got != fmt.Sprint(callers*each) {
		t.Errorf("%v increments are left of %d", got, callers*each)
	}
}

func TestKeyIdempotency(t *testing.T) {
	a := newAPI(t)
	a.put("a/b", "1", "Idempotency-Key: k")
	at := a.revision()
	again := a.must("PUT", "/kv/a%2Fb", body("1"), "Idempotency-Key: k")
	if again.Header.Get("DVR-Replayed") != "true" || a.revision() != at {
		t.Errorf("another spelling of the path is the same request: %v", again.Header)
	}
	for _, c := range []struct{ method, target, body string }{{"PUT", "/kv/a/b", body("2")}, {"PUT", "/kv/a", body("1")}, {"DELETE", "/kv/a/b", ""}} {
		if r := a.do(c.method, c.target, c.body, "Idempotency-Key: k"); r.Code != 422 {
			t.Errorf("%s %s under the same key: %d", c.method, c.target, r.Code)
		}
	}
	// What a deletion found is told again, though the key was set meanwhile.
	for _, existed := range []bool{true, false} {
		key := fmt.Sprint("Idempotency-Key: d", existed)
		first := a.must("DELETE", "/kv/a/b", "", key)
		if first.json(t)["existed"] != existed {
			t.Fatalf("existed: %s", first.Body)
		}
		if existed {
			a.put("a/b", "again")
		}
		if r := a.must("DELETE", "/kv/a/b", "", key); r.Body != first.Body || r.Header.Get("DVR-Replayed") != "true" {
			t.Errorf("first %s, then %s", first.Body, r.Body)
		}
		if existed {
			a.must("DELETE", "/kv/a/b", "")
		}
	}
	at = a.revision()
	a.must("DELETE", "/kv/nothing", "")
	if a.revision() != at {
		t.Error("a deletion of nothing without a key needs no commit")
	}
}

func TestKeyListing(t *testing.T) {
	a := newAPI(t)
	want := map[string]string{}
	for i := range 25 {
		for _, dir := range []string{"a/", "b/", "bb"} {
			k := fmt.Sprintf("%s%02d", dir, i)
			want[k] = k + "!"
			a.put(k, k+"!")
		}
	}
	if diff := cmp.Diff(want, keys(t, a.must("GET", "/kv", ""))); diff != "" {
		t.Error(diff)
	}
	under := func(prefix string) map[string]string {
		m := map[string]string{}
		for k, v := range want {
			if strings.HasPrefix(k, prefix) {
				m[k] = v
			}
		}
		return m
	}
	for _, prefix := range []string{"a/", "b", "b/", "bb2", "c", "a/24", "a/240"} {
		if diff := cmp.Diff(under(prefix), keys(t, a.must("GET", "/kv?prefix="+url.QueryEscape(prefix), ""))); diff != "" {
			t.Errorf("%s: %s", prefix, diff)
		}
	}
	// Pages show one revision, however the store goes on.
	for _, limit := range []int{1, 7, 25, 50, 75, 76} {
		for _, prefix := range []string{"", "b/"} {
			got, cursor, positions, n := map[string]string{}, "", map[string]bool{}, 0
			var order []string
			for {
				r := a.must("GET", fmt.Sprintf("/kv?limit=%d&prefix=%s&cursor=%s", limit, url.QueryEscape(prefix), url.QueryEscape(cursor)), "")
				page := keys(t, r)
				if len(page) > limit {
					t.Fatalf("%d keys, the limit is %d", len(page), limit)
				}
				var sorted []string
				for k, v := range page {
					got[k], sorted = v, append(sorted, k)
				}
				slices.Sort(sorted)
				order = append(order, sorted...)
				positions[r.Header.Get("DVR-Position")] = true
				if cursor = r.Header.Get("DVR-Next-Cursor"); cursor == "" {
					break
				}
				a.put("b/00", "changed")
				a.put(fmt.Sprint("b/new", n), "new")
				a.must("DELETE", "/kv/bb24", "")
				if n++; n > 100 {
					t.Fatal("no end")
				}
			}
			if diff := cmp.Diff(under(prefix), got); diff != "" || len(positions) != 1 || !slices.IsSorted(order) {
				t.Errorf("limit %d, prefix %q: positions %v, %s", limit, prefix, positions, diff)
			}
			a.put("b/00", "b/00!")
			a.put("bb24", "bb24!")
			for ; n > 0; n-- {
				a.must("DELETE", fmt.Sprintf("/kv/b/new%d", n-1), "")
			}
		}
	}
	// A cursor belongs to its listing.
	next := a.must("GET", "/kv?limit=2&prefix=b", "").Header.Get("DVR-Next-Cursor")
	for _, q := range []string{"limit=2&cursor=", "limit=2&prefix=a&cursor=", "limit=2&prefix=b&at=3&cursor="} {
		if r := a.do("GET", "/kv?"+q+next, ""); r.Code != 400 || r.json(t)["field"] != "cursor" {
			t.Errorf("%s: %d %s", q, r.Code, r.Body)
		}
	}
	if got := keys(t, a.must("GET", "/kv?prefix=b&cursor="+next, "")); len(got) != 48 {
		t.Errorf("the rest without a limit: %d keys", len(got))
	}
	if r := a.do("HEAD", "/kv?limit=2", ""); r.Code != 200 || r.Body != "" || r.Header.Get("DVR-Next-Cursor") == "" {
		t.Errorf("HEAD: %d %v", r.Code, r.Header)
	}
}

// TestKeyQuota: judged in the log's order, it never lets the store grow beyond,
// and concerns nothing but keys.
func TestKeyQuota(t *testing.T) {
	a := newAPI(t)
	a.quota.Store(1000)
	const callers = 40
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := 0
	for i := range callers {
		wg.Go(func() {
			r := a.do("PUT", fmt.Sprintf("/kv/key-%02d", i), body(strings.Repeat("x", 94)))
			mu.Lock()
			defer mu.Unlock()
			switch r.Code {
			case 200:
				stored++
			case http.StatusInsufficientStorage:
				if m := r.json(t); m["type"] != "/problems/kv-quota" || !strings.Contains(m["error"].(string), "of 1000 bytes (KV_QUOTA) ") {
					t.Errorf("%s", r.Body)
				}
			default:
				t.Errorf("%d %s", r.Code, r.Body)
			}
		})
	}
	wg.Wait()
	if used := a.app.State().KeyBytes(); stored != 10 || used != 1000 {
		t.Fatalf("%d keys of 100 bytes are stored, %d bytes", stored, used)
	}
	var first string
	for k := range a.app.State().Keys("", "") {
		first = k.Key
		break
	}
	expect := func(what string, r answer, code int) {
		t.Helper()
		if r.Code != code {
			t.Errorf("%s: %d %s", what, r.Code, r.Body)
		}
	}
	expect("as large as before", a.do("PUT", "/kv/"+first, body(strings.Repeat("y", 94))), 200)
	expect("one byte more", a.do("PUT", "/kv/"+first, body(strings.Repeat("y", 95))), 507)
	expect("under preconditions, too", a.do("PUT", "/kv/new", body("y"), "If-None-Match: *"), 507)
	expect("in a commit with others", a.do("POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"new","value":"v"},{"kind":"router.set","router":"r9"}]}`), 507)
	var large strings.Builder
	for i := range eventlog.MaxCommitEvents + 1 { // is staged
		fmt.Fprintf(&large, `,{"kind":"key.put","key":"large-%d","value":"v"}`, i)
	}
	expect("a commit that is too large for a batch", a.do("POST", "/v1/commits", `{"events":[`+large.String()[1:]+`]}`), 507)
	expect("a route", a.do("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`), 201)
	expect("a commit that frees as much", a.do("POST", "/v1/commits", fmt.Sprintf(`{"events":[{"kind":"key.put","key":"new","value":"v"},{"kind":"key.deleted","key":%q}]}`, first)), 201)
	expect("where there is room again", a.do("PUT", "/kv/new2", body("v")), 200)
	a.quota.Store(500)
	for k := range a.app.State().Keys("key-", "") {
		expect("smaller, above a quota that was lowered", a.do("PUT", "/kv/"+k.Key, body("x")), 200)
		break
	}
	expect("no larger, above it", a.do("PUT", "/kv/new2", body("w")), 200)
	expect("larger, above it", a.do("PUT", "/kv/new2", body("ww")), 507)
	expect("deletion above it", a.do("DELETE", "/kv/new2", ""), 200)
	metrics := a.must("GET", "/metrics", "").Body
	if want := fmt.Sprintf("dvr_kv_bytes %d\n", a.app.State().KeyBytes()); !strings.Contains(metrics, want) || !strings.Contains(metrics, "dvr_kv_keys 10\n") {
		t.Errorf("metrics lack %q", want)
	}
}

// TestKeysAndRoutesInOneCommit: keys are events like all others.
func TestKeysAndRoutesInOneCommit(t *testing.T) {
	a := newAPI(t)
	a.connect("r1")
	r := a.must("POST", "/v1/commits?wait=installed", `{"events":[{"kind":"key.put","key":"a/b","value":"v"},{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}]}`)
	if fmt.Sprint(r.json(t)["installed"]) != "[r1]" {
		t.Errorf("%s", r.Body)
	}
	if got := a.must("GET", "/kv/a/b", "").json(t); got["value"] != "v" || got["modified"] != float64(2) {
		t.Errorf("%v", got)
	}
	if r := a.put("k", "v"); r.Code != 200 {
		t.Error(r.Body)
	}
	if r := a.must("PUT", "/kv/k?wait=installed&require=r1", body("w")); r.Code != 200 || fmt.Sprint(r.json(t)["installed"]) != "[r1]" {
		t.Errorf("a key that is waited for: %d %s", r.Code, r.Body)
	}
}
