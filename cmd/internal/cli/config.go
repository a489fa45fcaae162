package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"dvr/controller/node"
	"dvr/controller/settings"
)

// configCommand is about the settings that dvr node would have.
func configCommand(c *connection, shared []string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Settings of a node: are they right, what are they, where do they come from",
		Long: "Read the settings that dvr node would have, from the same flags, environment and file, and start nothing.\n" +
			"Those of another program's environment, such as systemd's, have to be given to this one, too.",
	}
	for _, verb := range []*cobra.Command{configCheck(c), configShow(c)} {
		settings.Flags(verb.Flags())
		withoutShared(verb, butOutput(shared))
		cmd.AddCommand(verb)
	}
	return cmd
}

// defect is one thing that is wrong with the settings, as it is shown.
type defect struct {
	Setting string `json:"setting,omitempty"`
	Origin  string `json:"origin,omitempty"`
	Reason  string `json:"reason"`
}

// defects are what dvr node would refuse.
func defects(s *settings.Settings, err error) []defect {
	out := []defect{} // JSON's [], not null
	if err == nil {
		err = node.Check(s)
	}
	if err == nil {
		return out
	}
	for _, err := range settings.Errors(err) {
		var e *settings.Error
		if errors.As(err, &e) {
			out = append(out, defect{e.Name, string(e.Origin), e.Reason})
		} else {
			out = append(out, defect{Reason: err.Error()})
		}
	}
	return out
}

func (d defect) String() string {
	switch {
	case d.Setting == "":
		return d.Reason
	case d.Origin == "":
		return d.Setting + ": " + d.Reason
	}
	return d.Setting + " (" + d.Origin + "): " + d.Reason
}

func configCheck(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Would dvr node take these settings?", Args: cobra.NoArgs,
		Long: "Tell everything that dvr node would refuse, each with the setting and where its value comes from: values,\n" +
			"what does not belong together, certificates that are not this node's. No port is opened, no node asked: dvr\n" +
			"doctor examines the machine.\n\n" +
			"The exit code is 0 where nothing is wrong, else 2.",
		Example: "  dvr config check --config /etc/dvr/node.yaml\n  NODE_ID=node-4 JOIN=127.0.0.1:9091 dvr config check -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			list := defects(settings.Load(cmd.Flags(), os.Environ()))
			if err := c.printValue(map[string]any{"valid": len(list) == 0, "errors": list}, func(t *table, _ any) {
				for _, d := range list {
					t.line("%s", d)
				}
				if len(list) == 0 {
					t.line("Nothing is wrong with these settings.")
				}
			}); err != nil {
				return err
			}
			if len(list) > 0 {
				return usageError{fmt.Errorf("dvr node would refuse these settings: %s", plural(json.Number(fmt.Sprint(len(list))), "error"))}
			}
			return nil
		},
	}
}

func configShow(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Every setting, its value and where it comes from", Args: cobra.NoArgs,
		Long: "List every setting that dvr node would have: its value and where that comes from, the default, another\n" +
			"setting (derived), a line of the file, a variable or a flag. Of secrets only that they are set.",
		Example: "  dvr config show\n  dvr config show --config /etc/dvr/node.yaml --log-level debug -o yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			s, err := settings.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return usageError{err}
			}
			type setting struct {
				Name   string `json:"name"`
				Value  string `json:"value"`
				Origin string `json:"origin"`
			}
			var list []setting
			for _, e := range s.Entries() {
				list = append(list, setting{e.Name, e.Value, string(e.Origin)})
			}
			return c.printValue(map[string]any{"settings": list}, func(t *table, _ any) {
				t.head("SETTING", "VALUE", "ORIGIN")
				for _, e := range list {
					t.row(e.Name, e.Value, e.Origin)
				}
			})
		},
	}
}

// printValue prints what was made here as what a node answers is printed.
func (c *connection) printValue(v any, fill func(*table, any)) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	body, err := decode(raw)
	if err != nil {
		return err
	}
	return c.print(raw, body, fill)
}
