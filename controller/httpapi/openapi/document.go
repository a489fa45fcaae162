package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var source []byte

// YAML is the document as it is written. It is not to be changed.
func YAML() []byte { return source }

// JSON is the document in JSON, its members in the same order, without what the
// source abbreviates by. It is not to be changed. Cost: some 10 ms, the first time.
func JSON() []byte { return inJSON() }

var inJSON = sync.OnceValue(func() []byte {
	out, err := toJSON(source)
	if err != nil {
		panic(err) // cannot be: the tests read the same text
	}
	return out
})

// abbreviations is the member that holds what the source refers to by alias.
const abbreviations = "x-short"

// toJSON keeps the order of members, which a map would lose.
func toJSON(text []byte) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	return appendJSON(nil, &root, true)
}

func appendJSON(dst []byte, n *yaml.Node, top bool) ([]byte, error) {
	var err error
	switch n.Kind {
	case yaml.DocumentNode:
		return appendJSON(dst, n.Content[0], true)
	case yaml.AliasNode:
		return appendJSON(dst, n.Alias, false)
	case yaml.MappingNode:
		dst = append(dst, '{')
		for i, first := 0, true; i < len(n.Content); i += 2 {
			if top && n.Content[i].Value == abbreviations {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendText(dst, n.Content[i].Value), ':')
			if dst, err = appendJSON(dst, n.Content[i+1], false); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, e := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendJSON(dst, e, false); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	switch n.ShortTag() {
	case "!!str":
		return appendText(dst, n.Value), nil
	case "!!bool":
		v, err := strconv.ParseBool(n.Value)
		return strconv.AppendBool(dst, v), err
	case "!!int":
		v, err := strconv.ParseInt(n.Value, 10, 64)
		return strconv.AppendInt(dst, v, 10), err
	}
	return nil, fmt.Errorf("read the API's description: line %d: %s is of no use here", n.Line, n.ShortTag())
}

func appendText(dst []byte, s string) []byte {
	raw, _ := json.Marshal(s) // of a string, which always can
	return append(dst, raw...)
}
