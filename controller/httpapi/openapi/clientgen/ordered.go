package main

import (
	"bytes"
	"encoding/json"
)

// ordered is the properties of a schema in the order of the document.
type ordered []property

type property struct {
	name   string
	schema *schema
}

// UnmarshalJSON keeps the order, which a map would lose.
func (o *ordered) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		s := &schema{}
		if err := d.Decode(s); err != nil {
			return err
		}
		*o = append(*o, property{t.(string), s})
	}
	return nil
}
