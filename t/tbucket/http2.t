# HTTP/2: streams are limited as requests are, and what is left of a refused
# one, such as its body, disturbs no other.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use IO::Socket::INET;
use Test::More;

use constant { DATA => 0, HEADERS => 1, RST => 3, SETTINGS => 4, GOAWAY => 7,
               WINDOW => 8, END_STREAM => 1, END_HEADERS => 4 };

my $b = backend(name => 'b');
my $g = gateway(<<'END' =~ s/%%BACKEND%%/$b->address/er);
    tbucket_zone $arg_key zone=flight:64k inflight=2;
    tbucket_zone $arg_key zone=z:64k rate=1r/h capacity=2;
    server {
        listen 127.0.0.1:%%PORT%% http2;
        root %%DIR%%/html;
        tbucket zone=z;
        try_files /none @ok;
        location @ok { return 204; }
        location /flight { tbucket zone=flight; tbucket_headers ietf;
                           proxy_pass http://%%BACKEND%%; }
        location /page { error_page 429 @page; try_files /none @ok; }
        location @page { return 200 "page"; }
    }
END


sub frame
{
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}


# Headers as literals that no table is needed for.

sub headers
{
    my ($stream, $end, @pairs) = @_;

    my $block = '';
    while (my ($name, $value) = splice(@pairs, 0, 2)) {
        $block .= "\0" . chr(length $name) . $name
                  . chr(length $value) . $value;
    }

    return frame(HEADERS, END_HEADERS | ($end ? END_STREAM : 0), $stream,
                 $block);
}


sub connection
{
    my $sock = IO::Socket::INET->new('127.0.0.1:' . $g->port)
        or die "connect: $!\n";

    syswrite($sock, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                    . frame(SETTINGS, 0, 0, ''));

    return { sock => $sock, in => '' };
}


# Reads frames until all of the streams have ended: stream => status, body.

sub answers
{
    my ($c, @streams) = @_;

    my %open = map { $_ => 1 } @streams;
    my %got;

    while (%open) {
        while (length $c->{in} < 9
               || length $c->{in} < 9 + unpack('N', "\0$c->{in}"))
        {
            sysread($c->{sock}, $c->{in}, 65536, length $c->{in})
                or return { %got, closed => 1 };
        }

        my ($size, $type, $flags, $stream) =
            (unpack('N', "\0$c->{in}"), unpack('x3CCN', $c->{in}));
        my $payload = substr($c->{in}, 9, $size);
        substr($c->{in}, 0, 9 + $size) = '';

        return { %got, closed => 1 } if $type == GOAWAY;

        if ($type == HEADERS) {
            $got{$stream}{headers} = $payload;

            # after a size of the table that may come first, :status is one of
            # the static table or a literal

            $payload =~ s/^[\x20-\x3f]+//;
            my $first = ord $payload;
            $got{$stream}{code} = $first == 0x88 ? 200 : $first == 0x89 ? 204
                : ($payload =~ /^[\x08\x48]\x03(\d{3})/s)[0];
        }

        $got{$stream}{body} .= $payload if $type == DATA;
        $got{$stream}{reset} = unpack('N', $payload) if $type == RST;

        delete $open{$stream}
            if $type == RST
               || ($type == DATA || $type == HEADERS) && $flags & END_STREAM;
    }

    return \%got;
}


sub fields
{
    my ($method, $path) = @_;

    return (':method', $method, ':path', $path, ':scheme', 'http',
            ':authority', 'a');
}

my $json = '{"code":429,"message":"Rate limit exceeded"}';

subtest 'streams at once' => sub {
    my $c = connection();
    my @streams = map { 2 * $_ + 1 } 0 .. 9;

    syswrite($c->{sock}, join '', map {
        headers($_, 1, fields('GET', '/?key=a'))
    } @streams);

    my $got = answers($c, @streams);
    is_deeply([sort map { $got->{$_}{code} } @streams],
              [204, 204, (429) x 8], 'two of ten are admitted');
    is_deeply([map { $_->{body} } grep { $_->{code} == 429 } values %$got],
              [($json) x 8],
              'the others get the whole refusal');
};

subtest 'streams in flight' => sub {
    my $c = connection();

    syswrite($c->{sock}, join '', map {
        headers($_, 1, fields('GET', '/flight?key=a&action=hang'))
    } 1, 3);
    ok(wait_for(sub { (() = $b->requests) == 2 }), 'two streams are under way');

    syswrite($c->{sock}, headers(5, 1, fields('GET', '/flight?key=a')));
    is(answers($c, 5)->{5}{code}, 429, 'a third is refused');

    syswrite($c->{sock}, frame(RST, 0, 1, pack('N', 8)));

    my $stream = 5;
    ok(wait_for(sub {
        $stream += 2;
        syswrite($c->{sock}, headers($stream, 1,
                                     fields('GET', '/flight?key=a')));
        return answers($c, $stream)->{$stream}{code} == 200;
    }), 'a stream that is reset gives its place back');
    close($c->{sock});

    my $d = connection();
    ok(wait_for(sub {
        my $n = 1 + 4 * ($stream += 2);
        syswrite($d->{sock}, join '', map {
            headers($_, 1, fields('GET', '/flight?key=a&delay=0.05'))
        } $n, $n + 2);
        my $got = answers($d, $n, $n + 2);
        return $got->{$n}{code} == 200 && $got->{$n + 2}{code} == 200;
    }), 'so does a connection that is closed, all of its streams');
};

subtest 'HEAD' => sub {
    my $c = connection();
    syswrite($c->{sock}, headers(1, 1, fields('HEAD', '/?key=a')));

    my $got = answers($c, 1);
    is($got->{1}{code}, 429, 'is refused');
    is($got->{1}{body}, undef, 'without a body');
};

subtest 'gRPC' => sub {
    my $c = connection();
    syswrite($c->{sock}, headers(1, 0, fields('POST', '/?key=a'),
                                 'content-type', 'application/grpc')
                         . frame(DATA, 0, 1, "\0\0\0\0\0"));

    my $got = answers($c, 1);
    is($got->{1}{code}, 200, 'is refused in its own terms');
    is($got->{1}{body}, undef, 'by headers that end the stream');

    # the name is Huffman-coded

    like($got->{1}{headers}, qr/\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x018/,
         'with the status RESOURCE_EXHAUSTED');
};

for (['/?key=a', $json, 'b'], ['/page?key=a', 'page', 'c']) {
    my ($path, $body, $other) = @$_;

    subtest "bodies of refused requests: $path" => sub {
        my $c = connection();

        # with its body, before its body, and without the end of it

        syswrite($c->{sock},
                 headers(1, 0, fields('POST', $path))
                 . frame(DATA, END_STREAM, 1, 'x' x 1000)
                 . headers(3, 0, fields('POST', $path)));
        my $got = answers($c, 1, 3);

        is($got->{$_}{code}, 429, "stream $_ is refused") for 1, 3;
        is($got->{$_}{body}, $body, "stream $_ has the whole body")
            for 1, 3;

        syswrite($c->{sock},
                 join('', map { frame(DATA, 0, 3, 'x' x 5000) } 1 .. 4)
                 . headers(5, 0, fields('POST', "$path$other"))
                 . frame(DATA, END_STREAM, 5, 'x' x 1000)
                 . headers(7, 1, fields('GET', "$path$other")));
        $got = answers($c, 5, 7);

        is($got->{$_}{code}, 204, "stream $_, of another client, is admitted")
            for 5, 7;
    };
}

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|emerg|crit|error)\]|exited on signal/,
       'with nothing worse than warnings in its log');

done_testing();
