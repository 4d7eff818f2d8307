"""HTTP as values: messages, URLs, headers, content codings, redirects, proxies."""
