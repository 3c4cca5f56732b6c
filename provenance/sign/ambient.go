package sign

import (
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// ErrNoToken is returned by AmbientToken where no CI system offers one.
var ErrNoToken = errors.New("no ambient identity token: set SIGSTORE_ID_TOKEN, or give the job id-token: write")

// AmbientToken is the OIDC token that the CI system offers for an audience:
// SIGSTORE_ID_TOKEN where it is set (GitLab puts it there, for the audience its
// configuration names), else what GitHub Actions gives for
// ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN. Errors hold no secret.
func AmbientToken(ctx context.Context, audience string) (string, error) {
	if token := os.Getenv("SIGSTORE_ID_TOKEN"); token != "" {
		return token, nil
	}
	at, secret := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if at == "" || secret == "" {
		return "", ErrNoToken
	}
	u, err := url.Parse(at)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	q := u.Query()
	q.Set("audience", audience)
	u.RawQuery = q.Encode()
	return githubToken(ctx, u.String(), secret)
}

func githubToken(ctx context.Context, at, secret string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the bearer secret goes nowhere else
	}}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("identity token from GitHub Actions: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("identity token from GitHub Actions: %s", resp.Status)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, 64<<10), &answer); err != nil || answer.Value == "" {
		return "", errors.New("identity token from GitHub Actions: the answer holds none")
	}
	return answer.Value, nil
}
