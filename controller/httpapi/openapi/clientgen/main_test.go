package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"dvr/controller/httpapi/openapi"
)

// TestGeneratedIsFresh: what is committed is what the description gives.
func TestGeneratedIsFresh(t *testing.T) {
	want, err := Generate(openapi.JSON())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../client/calls.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("controller/httpapi/client/calls.go is not what openapi.yaml gives: go generate ./controller/httpapi/client")
	}
}

func TestGenerate(t *testing.T) {
	const path = `{"paths":{"/things/{name}":{"parameters":[{"$ref":"#/components/parameters/n"}],"put":{"operationId":"putThing","tags":["x"],"summary":"Set a thing",
		"parameters":[{"name":"if","in":"header","schema":{"type":"string"}},{"name":"q","in":"query","required":true,"schema":{"type":"integer"}}],
		"requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}}}},
		"responses":{"200":{"content":{"application/json":{"schema":{"anyOf":[{"$ref":"#/components/schemas/Thing"},{"$ref":"#/components/schemas/Preview"}]}}}}}}}},
		"components":{"parameters":{"n":{"name":"name","in":"path","required":true,"schema":{"type":"string"}}},
		"schemas":{"Named":{"properties":{"node_id":{"type":"string"}},"required":["node_id"]},
		"Thing":{"allOf":[{"$ref":"#/components/schemas/Named"},{"properties":{"p":{"type":"integer","minimum":0,"default":1},"w":{"type":"integer","minimum":1,"default":1},"d":{"type":"integer","default":7,"description":"Days."},"z":{"type":"integer","minimum":0,"default":0},
		"at":{"type":"string","format":"date-time"},"in":{"properties":{"a":{"type":"array","items":{"type":"string"}}}},"m":{"type":"object","additionalProperties":{"type":"boolean"}}}}]}}}}`
	got, err := Generate([]byte(path))
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(got)), " ")
	for _, want := range []string{
		"func (c *Client) PutThing(ctx context.Context, name string, q int64, body Thing, o PutThingOptions) (*Answer[Thing], error) {",
		`r := newRequest("PUT", "/things/"+segment(name))`, `r.head("if", o.If)`, `r.set("q", q)`, `r.json(body)`, "// PUT /things/{name}",
		"NodeID string `json:\"node_id\"`", "P *int64 `json:\"p,omitempty\"`", "W int64 `json:\"w,omitempty\"` // Left out: 1. D *int64 `json:\"d,omitempty\"` // Days. Left out: 7. Z int64 `json:\"z,omitempty\"` At", "At *time.Time `json:\"at,omitempty\"`",
		"In *ThingIn `json:\"in,omitempty\"`", "M map[string]bool `json:\"m,omitempty\"`", "type ThingIn struct { A []string `json:\"a,omitempty\"` }",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	for _, bad := range []string{
		`{`, strings.Replace(path, "schemas/Named", "schemas/Nobody", 1), strings.Replace(path, "parameters/n", "parameters/nothing", 1),
		strings.Replace(path, `{"type":"boolean"}`, `{"type":"number"}`, 1),
	} {
		if _, err := Generate([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
