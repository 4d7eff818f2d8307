"""URLs: the parts of requests and connections, and nothing that could break them."""

import re
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin, RequestHead
from tmux_fanout.core.http.urls import expand_url, parse_url
from tmux_fanout.core.requests.url_template import UrlTemplate


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://h", ("http", "h", 80), "/"),
        ("https://h", ("https", "h", 443), "/"),
        ("http://h/", ("http", "h", 80), "/"),
        ("HTTP://Example.COM/Path", ("http", "example.com", 80), "/Path"),
        ("http://h:8080/a/b", ("http", "h", 8080), "/a/b"),
        ("http://h:443/", ("http", "h", 443), "/"),
        ("http://h:/", ("http", "h", 80), "/"),
        ("http://h:65535/", ("http", "h", 65535), "/"),
        ("http://1.2.3.4/", ("http", "1.2.3.4", 80), "/"),
        ("http://h./", ("http", "h.", 80), "/"),
        ("http://my_service-1/", ("http", "my_service-1", 80), "/"),
        ("http://[::1]/", ("http", "::1", 80), "/"),
        ("http://[::1]:8080/x", ("http", "::1", 8080), "/x"),
        ("http://[2001:DB8::ffff:1.2.3.4]:/", ("http", "2001:db8::ffff:1.2.3.4", 80), "/"),
        ("http://u:p@[::1]:8080", ("http", "::1", 8080), "/"),
        ("http://bücher.example/", ("http", "xn--bcher-kva.example", 80), "/"),
        ("http://xn--bcher-kva.example/", ("http", "xn--bcher-kva.example", 80), "/"),
        ("http://a\u3002b/", ("http", "a.b", 80), "/"),
        ("http://\uff41/", ("http", "a", 80), "/"),
        ("http://h?a=b", ("http", "h", 80), "/?a=b"),
        ("http://h/?", ("http", "h", 80), "/?"),
        ("http://h#top", ("http", "h", 80), "/"),
        ("http://h/p;x=1?a=b?c&d=/e:f@g#top", ("http", "h", 80), "/p;x=1?a=b?c&d=/e:f@g"),
        ("http://h//x/../y/./z", ("http", "h", 80), "//x/../y/./z"),
        ("http://h/%41%2f%zz?%26", ("http", "h", 80), "/%41%2f%zz?%26"),
        ("http://h/ü?ß=\U0001f600", ("http", "h", 80), "/%C3%BC?%C3%9F=%F0%9F%98%80"),
        ('http://h/"<>\\^`|', ("http", "h", 80), "/%22%3C%3E%5C%5E%60%7C"),
        ("http://h/[a]?b[]=1", ("http", "h", 80), "/[a]?b[]=1"),
        ("http://h/\u2028\x85\xa0", ("http", "h", 80), "/%E2%80%A8%C2%85%C2%A0"),
        ("http://a@b/c@d", ("http", "b", 80), "/c@d"),
    ],
)
def test_parse_url_gives_origin_and_target(
    url: str, origin: tuple[str, str, int], target: str
) -> None:
    """Names become lower-case ASCII, ports are filled in, odd characters are encoded once."""
    assert parse_url(url)[:2] == (Origin(*origin), target)


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("http://h/", ""),
        ("http://u@h/", "u:"),
        ("http://u:@h/", "u:"),
        ("http://:p@h/", ":p"),
        ("http://u:p@h/", "u:p"),
        ("http://u:p:q@h/", "u:p:q"),
        ("http://u:p@q@h/", "u:p@q"),
        ("http://u%40x:p%3Aq%2F@h/", "u@x:p:q/"),
        ("http://ü:ß@h/", "ü:ß"),
        ("http://h/u:p@x", ""),
        ("http://h?u:p@x", ""),
    ],
)
def test_parse_url_takes_credentials_out_of_the_authority(url: str, credentials: str) -> None:
    """They are decoded, split at the first colon, and not part of the host."""
    origin, _, found = parse_url(url)
    assert (origin.host, found) == ("h", credentials)


@pytest.mark.parametrize(
    "url",
    [
        *("", "h", "/x", "//h/", "h:80", "http:", "http:h", "http:/h", "http://", "http:///p"),
        *("http://?q", "http://:80/", "http://u:p@/", "ftp://h/", "file:///etc/passwd", "ws://h"),
        *("javascript:alert(1)", "httpx://h/", "http+unix://%2Fsock/"),
        *("http://[::1/", "http://::1]/", "http://[]/", "http://[foo]/", "http://[::1]x/"),
        *(
            "http://x[::1]/",
            "http://[v1.x]/",
            "http://[1.2.3.4]/",
            "http://::1/",
            "http://[::1]80/",
        ),
        *('http://a"b/', "http://a\\b/", "http://a,b/", "http://a%2fb/", "http://a<b>/"),
        *("http://*/", "http://\u2100/"),
        *("http://a\xa0b/", "http://a\uff0fb/", "http://a\uff20b/", "http://a\uff1a80/"),
    ],
    ids=ascii,
)
def test_parse_url_refuses_what_no_connection_can_be_made_of(url: str) -> None:
    """Other schemes, and hosts that are missing or invalid, are refused before sending."""
    with pytest.raises(ConfigError) as info:
        parse_url(url)
    fix = "write one such as https://api.example.com/v1"
    assert str(info.value) == f"url: not an http or https URL; {fix}"


@pytest.mark.parametrize(
    "port", ["x", "-1", "+80", "8_0", "80:90", "0", "65536", "99999", "\uff18\uff10"], ids=ascii
)
def test_parse_url_refuses_what_is_no_port(port: str) -> None:
    with pytest.raises(ConfigError, match="url: invalid port; use a number from 1 to 65535"):
        parse_url(f"http://h:{port}/")


@pytest.mark.parametrize("where", ["http://h/%s", "http://h?%s", "http://u%s@h/", "http://%s/"])
@pytest.mark.parametrize("bad", list(" \t\r\n\0\x0b\x1b\x7f\ud800\udcff"), ids=ascii)
def test_parse_url_refuses_what_could_end_a_request_line(where: str, bad: str) -> None:
    """Blanks, controls and undecodable bytes are an error that says so."""
    with pytest.raises(ConfigError, match="it holds a blank or a control character; write"):
        parse_url(where % f"a{bad}b")


@given(
    st.sampled_from(["http://", "https://", ""]),
    st.text(st.sampled_from("ab.:/?#@[]%0128é。ß\\'\"<|~-_$&*\xa0\ud800\u202e\uff0f\u2100 \n")),
)
def test_parse_url_gives_what_cannot_break_a_request_or_refuses(start: str, text: str) -> None:
    """Of any text, the parts are well-formed, and parse to themselves."""
    try:
        origin, target, _ = parse_url(start + text)
    except ConfigError:
        return
    assert origin.scheme in ("http", "https")
    assert re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+(%[a-z0-9._~%-]+)?", origin.host, re.ASCII)
    assert 1 <= origin.port <= 65535
    assert re.fullmatch(r"/[!-~]*", target)
    assert not set('"<>\\^`{|}#') & set(target)
    url = RequestHead("GET", origin, target, ()).url
    assert parse_url(url) == (origin, target, "")


@given(st.text(st.sampled_from("ab/?#@:%.\\&=é\"'"), max_size=12))
def test_parse_url_host_does_not_depend_on_what_follows_it(rest: str) -> None:
    """Nothing after the authority changes where a request goes."""
    assert parse_url(f"http://good.example:8080/{rest}")[0] == Origin("http", "good.example", 8080)


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("http", "h", 80), "h"),
        (Origin("https", "h", 443), "h"),
        (Origin("https", "h", 80), "h:80"),
        (Origin("http", "h", 443), "h:443"),
        (Origin("http", "::1", 80), "[::1]"),
        (Origin("https", "::1", 8443), "[::1]:8443"),
    ],
)
def test_origin_authority_names_the_port_where_it_is_not_the_schemes(
    origin: Origin, authority: str
) -> None:
    """As RFC 9110 requires in a Host header."""
    assert origin.authority == authority
    assert origin.is_tls == (origin.scheme == "https")


VALUES = {
    "HOST": "api.test",
    "BASE": "https://api.test:8443/v1",
    "SEARCH": "https://api.test/find?q=a",
    "TOKEN": "a{b}c",
    "ODD": "a?b#c&d=e+f g{h}%i%20j/k",
    "USER": "me@home",
    "PAIR": "me:p@ss",
    "PASS": "p@ss/w?r#d:{x}",
    "QUERY": "a=1&b=2",
    "EMPTY": "",
}


@pytest.mark.parametrize(
    ("url", "expanded"),
    [
        ("https://a.test/{id}", "https://a.test/{id}"),
        ("https://a.test/${TOKEN}/{id}", "https://a.test/a%7Bb%7Dc/{id}"),
        ("https://a.test/bot${TOKEN}", "https://a.test/bota%7Bb%7Dc"),
        ("https://a.test/?key=${TOKEN}{&id}", "https://a.test/?key=a%7Bb%7Dc{&id}"),
        ("https://a.test/{?id}&key=${TOKEN}", "https://a.test/{?id}&key=a%7Bb%7Dc"),
        ("https://a.test/${ODD}", "https://a.test/a%3Fb%23c&d=e+f%20g%7Bh%7D%25i%20j/k"),
        (
            "https://a.test?k=${ODD}&z=1",
            "https://a.test?k=a?b%23c%26d=e%2Bf%20g%7Bh%7D%25i%20j/k&z=1",
        ),
        ("https://a.test/?${QUERY}", "https://a.test/?a=1&b=2"),
        ("https://a.test/?x=1&${QUERY}", "https://a.test/?x=1&a=1&b=2"),
        ("${BASE}/{id}?key=${TOKEN}", "https://api.test:8443/v1/{id}?key=a%7Bb%7Dc"),
        ("${SEARCH}&key=${QUERY}", "https://api.test/find?q=a&key=a=1%26b=2"),
        ("https://${HOST}:8443/${EMPTY}", "https://api.test:8443/"),
        ("https://${HOST}${EMPTY}/{id}", "https://api.test/{id}"),
        ("https://me:${PASS}@${HOST}/", "https://me:p%40ss%2Fw%3Fr%23d:%7Bx%7D@api.test/"),
        ("https://${USER}:${PASS}@a.test", "https://me%40home:p%40ss%2Fw%3Fr%23d:%7Bx%7D@a.test"),
        ("https://${PAIR}@a.test", "https://me:p%40ss@a.test"),
        ("https://${HOST}/@${TOKEN}", "https://api.test/@a%7Bb%7Dc"),
        ("/v1/${ODD}", "/v1/a%3Fb%23c&d=e+f%20g%7Bh%7D%25i%20j/k"),
        ("${TOKEN}", "a%7Bb%7Dc"),
    ],
)
def test_expand_url_keeps_each_value_to_its_part(url: str, expanded: str) -> None:
    """The structure is that of the template; only the beginning may bring its own."""
    assert expand_url(url, VALUES) == expanded


def test_expand_url_names_what_is_missing() -> None:
    """As for any other setting."""
    with pytest.raises(ConfigError, match=r"^url: \$\{KEY\} is not set; export KEY=\.\.\.$"):
        expand_url("https://a.test/${KEY}", {}, "url")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="%")))
def test_a_value_arrives_as_it_is(value: str) -> None:
    """Whatever a variable holds, the server decodes that, and nothing beside it changes."""
    env = {"V": value}
    _, target, credentials = parse_url(expand_url("http://u:${V}@a.test/b/${V}?k=${V}&z=1", env))
    path, _, query = target.partition("?")
    assert unquote(path) == f"/b/{value}"
    assert parse_qsl(query, keep_blank_values=True) == [("k", value), ("z", "1")]
    assert credentials == f"u:{value}"
    assert UrlTemplate(f"{target}&x={{x}}").expand({"x": 1}) == f"{target}&x=1"
