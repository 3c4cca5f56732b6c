package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/api"
	"plastron/gate/config"
	"plastron/log/statement"
	"plastron/node/jointoken"
)

// adminFlags name the gate whose admin socket is spoken to.
type adminFlags struct{ config, socket string }

func (a *adminFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&a.config, "config", "gate.yaml", "the gate's configuration, which names its admin socket")
	c.Flags().StringVar(&a.socket, "admin", "", "the admin socket (default: as the configuration says)")
}

func (a *adminFlags) client() (*api.AdminClient, error) {
	if a.socket == "" {
		f, err := config.Load(a.config)
		if err != nil {
			return nil, usagef("%w; name the gate with --config gate.yaml or --admin SOCKET", err)
		}
		a.socket = f.AdminSocket()
	}
	return api.NewAdminClient(a.socket), nil
}

func tokenCmd() *cobra.Command {
	return group("token", "Make join tokens", tokenCreateCmd())
}

func tokenCreateCmd() *cobra.Command {
	var a adminFlags
	var t statement.JoinToken
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "create --rule NAME|--spiffe-id ID --reason TEXT",
		Short: "Make a join token: it stands for one node, once",
		Long: "Create makes a secret here, and has the gate log its public key and what it is for. The\n" +
			"secret is printed once and never leaves the node it is used on.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if t.Rule == "" && t.SPIFFEID == "" || t.Reason == "" {
				return usagef("--reason and one of --rule and --spiffe-id are needed: a join token says what it is for")
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			token, public, err := jointoken.NewToken()
			if err != nil {
				return err
			}
			t.PublicKey = public
			index, expires, err := client.CreateToken(cmd.Context(), t, ttl)
			if err != nil {
				return err
			}
			return print(cmd, tokenMade{token, index, expires})
		},
	}
	a.add(c)
	f := c.Flags()
	f.StringVar(&t.Node, "node", "join", "the join-token source in gate.yaml")
	f.StringVar(&t.Rule, "rule", "", "the only rule it may be used under")
	f.StringVar(&t.SPIFFEID, "spiffe-id", "", "the exact SPIFFE ID it may lead to")
	f.StringVar(&t.Reason, "reason", "", "why, for the log")
	f.DurationVar(&ttl, "ttl", 10*time.Minute, "how long it may wait for its use, at most 1h")
	return c
}

type tokenMade struct {
	Token   string    `json:"token"`
	Index   uint64    `json:"log_index"`
	Expires time.Time `json:"expires"`
}

func (t tokenMade) text(w io.Writer) { fmt.Fprintln(w, t.Token) }

func banCmd() *cobra.Command {
	return group("ban", "Refuse what rests on a bad fact", banAddCmd(), banRemoveCmd(), banListCmd())
}

func banAddCmd() *cobra.Command {
	var a adminFlags
	var reason string
	c := &cobra.Command{
		Use:   "add KIND VALUE --reason TEXT",
		Short: "Ban a fact: no request that rests on it is granted from now on",
		Long:  "Kinds: " + fmt.Sprint(statement.BanKinds) + ". VALUE is the fact as records and `explain` print it.",
		Args:  exactArgs("KIND", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.act(cmd, func(c *api.AdminClient) (uint64, error) {
				return c.Ban(cmd.Context(), statement.Ban{Kind: args[0], Value: args[1], Reason: reason})
			})
		},
	}
	a.add(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for the log and for those who are refused")
	return c
}

func banRemoveCmd() *cobra.Command {
	var a adminFlags
	var reason string
	c := &cobra.Command{
		Use:   "remove KIND VALUE --reason TEXT",
		Short: "End a ban",
		Args:  exactArgs("KIND", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.act(cmd, func(c *api.AdminClient) (uint64, error) {
				return c.Unban(cmd.Context(), statement.Unban{Kind: args[0], Value: args[1], Reason: reason})
			})
		},
	}
	a.add(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for the log")
	return c
}

// act does one thing that is an entry afterwards.
func (a *adminFlags) act(cmd *cobra.Command, do func(*api.AdminClient) (uint64, error)) error {
	if reason, _ := cmd.Flags().GetString("reason"); reason == "" {
		return usagef("--reason is needed: the log keeps it")
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	index, err := do(client)
	if err != nil {
		return err
	}
	return print(cmd, acted{index})
}

type acted struct {
	Index uint64 `json:"log_index"`
}

func (a acted) text(w io.Writer) { fmt.Fprintf(w, "in force since entry %d\n", a.Index) }

func banListCmd() *cobra.Command {
	var a adminFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List the bans in force",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			list, err := client.Bans(cmd.Context())
			if err != nil {
				return err
			}
			return print(cmd, banList(list))
		},
	}
	a.add(c)
	return c
}

type banList []api.StandingBan

func (l banList) text(w io.Writer) {
	for _, b := range l {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t(%s)\n", b.Index, b.Kind, clean(b.Value), clean(b.Reason), b.Author)
	}
}
