# What health checks take for an answer, and how they take leave of a server,
# whatever it sends and however slowly.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Process qw(fork_child temp_dir);
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

# seconds that a loaded machine may add to a bound
my $SLACK = 0.5 * ($ENV{TEST_TIME_FACTOR} || 1);

my $OK = "HTTP/1.1 200 OK\r\nConnection: close\r\n";


# A server that reads a request and calls what is given with the connection,
# one after the other or side by side; it notes how each of them has ended, and
# after how many seconds.

sub raw
{
    my ($code, $parallel) = @_;

    my $file   = temp_dir() . '/ended';
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Listen => 512) or die $!;

    fork_child(sub {
        $SIG{CHLD} = 'IGNORE';
        $SIG{PIPE} = 'IGNORE';

        while (my $c = $listen->accept) {
            my $began = time();
            next if $parallel && fork();

            sysread($c, my $request, 65536);
            my $end = $code->($c, $request) // leave($c);

            open(my $out, '>>', $file);
            syswrite($out, sprintf("%s %.3f\n", $end, time() - $began));
            exit if $parallel;
        }
    });

    return { server => 'server 127.0.0.1:' . $listen->sockport . ';',
             file => $file };
}


# What a server does when it has sent its answer: it waits for the client.

sub leave
{
    my ($c) = @_;

    shutdown($c, 1) or return 'error';

    while (1) {
        my $n = sysread($c, my $rest, 65536) // return 'error';
        return 'fine' if !$n;
    }
}


# Sends the pieces with so many seconds between them.

sub pieces
{
    my ($pause, @pieces) = @_;

    return raw(sub {
        my ($c) = @_;

        for my $i (0 .. $#pieces) {
            sleep($pause) if $i;
            syswrite($c, $pieces[$i]) // return 'error';
        }
        return;
    });
}


sub ended
{
    my ($b) = @_;

    open(my $in, '<', $b->{file}) or return [];

    return [map { [split] } <$in>];
}


sub upstream
{
    my ($name, $check, $b) = @_;

    return "upstream $name { lb round_robin; lb_health_check $check; "
           . "$b->{server} }\n";
}


subtest 'a check lets a server end its answer' => sub {
    my @b = map { pieces(0.01, @$_) } (
        ["${OK}Content-Length: 2\r\n\r\nok"],
        ["${OK}Content-Length: 2\r\n\r\n", 'ok'],
        ["${OK}\r\n", 'ok', '.'],
        ["${OK}Transfer-Encoding: chunked\r\n\r\n", "2\r\nok\r\n",
         "0\r\n", "\r\n"],
        ["${OK}Content-Length: 500000\r\n\r\n", ('okok' x 12500) x 10],
        ["HTTP/1.1 503 x\r\nContent-Length: 4\r\n\r\n", 'ok', '..'],
    );
    my @u = map { (upstream("h$_", 'interval=200ms', $b[$_]),
                   upstream("b$_", 'interval=200ms body=ok', $b[$_])) }
            0 .. $#b;
    my $g = gateway(join('', @u) . 'server { listen 127.0.0.1:%%PORT%%; }');

    ok(wait_for(sub { !grep { @{ ended($_) } < 10 } @b }), 'checks are made');

    my @errors = map { scalar(grep { $_->[0] ne 'fine' } @{ ended($_) }) } @b;
    is_deeply(\@errors, [map { 0 } @b], 'none of them is an error for it');

    my @down = sort $g->log =~ /upstream "(\w+)" is down/g;
    is_deeply(\@down, ['b5', 'h5'], 'only a bad status is a failure');
};


# The proxy says what is to be taken: of each the first is what it gets.

subtest 'no server fails a check whose answers nginx serves' => sub {
    my %answer = (
        http10    => "HTTP/1.0 200 OK\r\n\r\nok",
        http2     => "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        spaces    => "HTTP/1.1   200 OK\r\n\r\nok",
        fraction  => "HTTP/1.1 200.1 OK\r\n\r\nok",
        noreason  => "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        bare      => "ok\n",
        lf        => "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        lower     => "http/1.1 200 OK\r\n\r\nok",
        twice     => "HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n\r\nok",
        nocolon   => "${OK}Colon\r\n\r\nok",
        eightbit  => "${OK}\xc3\xb6: \xff\r\n\r\nok",
        folded    => "${OK}A: b\r\n c\r\n\r\nok",
        nul       => "${OK}A: \0\r\n\r\nok",
        space     => "${OK}A : b\r\n\r\nok",
        long      => $OK . "A: b\r\n" x 30_000 . "\r\nok",
        identity  => "${OK}Transfer-Encoding: identity\r\n\r\nok",
        trailer   => "${OK}Transfer-Encoding: CHUNKED\r\n\r\n"
                     . "002 ;a=b\r\nok\r\n0\r\nA: b\r\n\r\n",
        nolength  => "${OK}\r\nok",
    );
    my %b = map { my $raw = $answer{$_};
                  ($_ => raw(sub { syswrite($_[0], $raw); return })) }
            keys %answer;
    my $g = gateway(join('', map {
        "upstream p_$_ { $b{$_}{server} }\n"
        . upstream("h_$_", 'interval=500ms fall=1', $b{$_})
        . upstream("b_$_", 'interval=500ms fall=1 body=ok', $b{$_})
    } sort keys %b)
        . "proxy_buffer_size 256k; proxy_buffers 4 256k;\n"
        . "proxy_busy_buffers_size 512k; server { listen 127.0.0.1:%%PORT%%;"
        . join('', map { "location /$_ { proxy_http_version 1.1; "
                         . "proxy_pass http://p_$_; }\n" } sort keys %b)
        . '}');

    ok(wait_for(sub { !grep { @{ ended($_) } < 4 } values %b }),
       'checks are made');

    my @served;
    for (sort keys %b) {
        my $r = get($g, "/$_");
        push(@served, $_) if ($r->{code} // 200) == 200;
    }
    cmp_ok(scalar(@served), '>', 10, 'nginx serves most of them');

    my %down = map { $_ => 1 } $g->log =~ /upstream "[bh]_(\w+)" is down/g;
    is_deeply([grep { $down{$_} } @served], [], 'and those pass');
    ok($down{nul} && $down{space} && $down{folded}, 'not the others');
};


sub drip
{
    my ($head, $drop) = @_;

    return raw(sub {
        my ($c) = @_;

        syswrite($c, $head);

        while (1) {
            my $n = syswrite($c, $drop);
            return 'closed' if !defined $n;
            sleep(0.02) if length $drop == 1;
        }
    }, 1);
}


subtest 'an answer that never ends ends with its time, or its size' => sub {
    my $flood  = 'x' x 65536;
    my $chunks = "${OK}Transfer-Encoding: chunked\r\n\r\n";
    my %u = (
        status => ['', drip('HTTP/1.1 ', ' ')],
        name   => ['', drip($OK, 'x')],
        header => ['', drip("${OK}A: ", $flood)],
        text   => ['body=never', drip("${OK}\r\n", 'x')],
        chunk  => ['body=never', drip($chunks, '0')],
        flood  => ['body=never', drip("${OK}\r\n", $flood)],
        fine   => ['', drip("${OK}\r\n", 'x')],
        good   => ['', drip("${OK}\r\n", $flood)],
    );
    my $g = gateway(join('', map {
        upstream($_, "interval=200ms timeout=400ms fall=1 $u{$_}[0]",
                 $u{$_}[1]) } sort keys %u)
        . 'server { listen 127.0.0.1:%%PORT%%; location / { return 204; } }');

    my %reason = (
        status => qr/timed out/,
        name   => qr/timed out/,
        header => qr/header is too long/,
        text   => qr/timed out/,
        chunk  => qr/timed out/,
        flood  => qr/text is not in the first 1M/,
    );
    for (sort keys %reason) {
        like($g->wait_log(qr/upstream "$_" is down/) // '',
             qr/is down: $reason{$_}/, $_);
    }

    my @b = map { $_->[1] } values %u;
    ok(wait_for(sub { !grep { @{ ended($_) } < 4 } @b }), 'all go on');

    my ($shortest) = sort { $a <=> $b } map { $_->[1] }
                     map { @{ ended($u{$_}[1]) } } qw(name status text fine);
    cmp_ok($shortest, '<', 0.4 + $SLACK, 'a connection ends with its time');

    unlike($g->log, qr/"(?:fine|good)" is down/,
           'a header that is fine is a pass, whatever follows');
    is(get($g, '/')->{code}, 204, 'the worker has time for others');
};

done_testing();
