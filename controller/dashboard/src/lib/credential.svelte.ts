// Who the person is to the cluster: a token, kept for this tab alone and sent in a header, never in an address or a cookie.
class Credential {
  token = $state('');
  /** Why the person is asked for a token; empty: nobody asks. */
  asked = $state('');
  /** Told of each new token; the event stream sends it, too. */
  onchange: (token: string) => void = () => {};

  constructor() {
    try {
      this.token = sessionStorage.getItem('token') ?? '';
    } catch {
      // Storage is off: it holds for this page.
    }
  }

  with(headers?: HeadersInit): Headers {
    const out = new Headers(headers);
    if (this.token) out.set('Authorization', `Bearer ${this.token}`);
    return out;
  }

  /** refused is told what an answer of 401 says. */
  refused(why: string) {
    this.asked ||= why || 'This cluster asks who you are.';
  }

  give(token: string) {
    this.token = token.trim();
    this.asked = '';
    try {
      if (this.token) sessionStorage.setItem('token', this.token);
      else sessionStorage.removeItem('token');
    } catch {
      // As above.
    }
    this.onchange(this.token);
  }
}

export const credential = new Credential();
