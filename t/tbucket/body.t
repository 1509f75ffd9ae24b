# A refused request with a body: the connection and the next request on it.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

my $g = gateway(<<'END');
    tbucket_zone all zone=z:1m rate=1r/h;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /no { tbucket zone=z cost=2; }
        location /page { tbucket zone=z cost=2; error_page 429 @page; }
        location @page { return 200 "page"; }
        location /ok { return 200 "ok"; }
        location /proxy { tbucket zone=z cost=2;
                          proxy_pass http://127.0.0.1:%%PORT%%/ok; }
    }
END

my $json = '{"code":429,"message":"Rate limit exceeded"}';
my $head = "HTTP/1.1\r\nHost: a\r\n";
my $next = "GET /ok ${head}\r\n";


sub answers
{
    my ($title, $uri, $body, @parts) = @_;

    my $c = client($g);
    $c->send($_) for @parts;

    my $r = $c->response;
    is($r->{code}, 429, "$title: refused");
    is($r->{body}, $body, "$title: with the whole body");

    $c->send($next);
    $r = $c->response;
    is($r->{body}, 'ok', "$title: the next request is answered");
    $c->close;
}


for (['/no', $json], ['/page', 'page'], ['/proxy', $json]) {
    my ($uri, $body) = @$_;

    answers("GET $uri", $uri, $body, "GET $uri $head\r\n");

    answers("POST $uri", $uri, $body,
            "POST $uri ${head}Content-Length: 5\r\n\r\nhello");

    answers("POST $uri, the body later", $uri, $body,
            "POST $uri ${head}Content-Length: 5\r\n\r\n", 'he', 'llo');

    answers("POST $uri, a large body that looks like requests", $uri, $body,
            "POST $uri ${head}Content-Length: " . 5000 * length($next)
            . "\r\n\r\n", $next x 5000);

    answers("POST $uri, chunked", $uri, $body,
            "POST $uri ${head}Transfer-Encoding: chunked\r\n\r\n",
            "5\r\nhello\r\n", "0\r\n\r\n");
}

subtest 'Expect: 100-continue' => sub {
    my $c = client($g);
    $c->send("POST /no ${head}Content-Length: 5\r\nExpect: 100-continue\r\n"
             . "\r\n");

    my $r = $c->response;
    is($r->{code}, 429, 'is refused at once');
    unlike($r->{head}, qr/100/, 'without asking for the body');

    $c->send('hello');
    $c->send($next);
    is($c->response->{body}, 'ok', 'which may come all the same');
};

subtest 'HEAD on a connection that goes on' => sub {
    my $c = client($g);
    $c->send("HEAD /no $head\r\n");

    my $r = $c->response(method => 'HEAD');
    is($r->{code}, 429, 'is refused');
    is($r->{headers}{'content-length'}, length $json, 'with the length');

    $c->send($next);
    is($c->response->{body}, 'ok', 'and no body before the next answer');
};

subtest 'pipelined requests' => sub {
    my $c = client($g);
    $c->send("POST /no ${head}Content-Length: 5\r\n\r\nhello$next" x 20);

    is_deeply([map { $c->response->{code} } 1 .. 40], [(429, 200) x 20],
              'are answered in turn');
};

subtest 'a client that leaves in the middle of its body' => sub {
    my $c = client($g);
    $c->send("POST /no ${head}Content-Length: 500\r\n\r\nhel");
    is($c->response->{code}, 429, 'is refused');
    $c->close;

    is(get($g, '/ok')->{body}, 'ok', 'and harms nobody');
};

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|emerg|crit)\]|exited on signal/,
       'with nothing worse than warnings in its log');

done_testing();
