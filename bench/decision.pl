#!/usr/bin/env perl

# What one decision costs in instructions: our module against nginx's own
# limit_req, on the same keys, in one run; by the number of keys, and by what
# the key is.  Requests in flight are against limit_conn.  And what "settle"
# adds, where a variable has the true cost already: "set" has evaluated it.
#
# How: nginx runs as one process under callgrind, which counts only inside
# ngx_http_core_run_phases(), from the first phase to the response's header;
# what a request without a limiter takes there is subtracted.  That needs no
# symbol but one that every nginx exports.  All keys are in the zone before
# the counting begins, every request is admitted, and all are answered alike.
#
# Environment: NGINX_BIN and MODULES (paths), KEYS (numbers, separated by
# spaces), KINDS (as the rows are called, separated by commas).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench qw(call count exchange free_port module profiled reconnect stop
             total);

use constant REQUESTS => 20_000;
use constant BATCH    => 50;
use constant PRIME    => 7_919;     # scatters the keys: divides no KEYS
use constant KNOWN    => 1_000;     # keys of each kind

# what a request has beside its key, as curl sends it
use constant CURL     => "Host: api.example.com\r\nUser-Agent: curl/7.88.1\r\n"
                         . "Accept: */*\r\n";

my $module = module('tbucket');
my @keys = split ' ', $ENV{KEYS} || '1000 100000 1000000';

# What a key is: how both modules are told of it, our zone's other
# parameters, what a request has, and the most that we may take of what
# limit_req takes.

my $api_key = sub { sprintf "X-Api-Key: key-%07d\r\n", $_[0] };
my $fallback = 'fallback=$tbucket_addr';

my @kinds = (
    { name => 'header', key => '$http_x_api_key', header => $api_key,
      most => 0.40 },
    { name => 'address', key => '$binary_remote_addr', address => 1,
      most => 0.50 },
    { name => 'argument', key => '$arg_k', most => 0.60,
      argument => sub { sprintf '?k=key-%07d', $_[0] } },
    { name => 'registered', key => '$http_x_api_key', header => $api_key,
      zone => $fallback, registered => 1, most => 0.50 },
    { name => 'made-up', key => '$http_x_api_key', header => $api_key,
      zone => $fallback, address => 1, most => 0.80 },
    { name => 'in flight', key => '$http_x_api_key', header => $api_key,
      theirs => 'limit_conn conn 1000;', zones => [qw(open)], most => 0.50 },
    { name => 'API product', key => '$http_x_api_key', header => $api_key,
      zone => 'known=required', zones => [qw(bucket month open)],
      registered => 1, most => 1.30 },
);

# What the requests say that they cost, and the line that settles that.

use constant SETTLE => 150;     # at most

my @settled = (
    { name => 'as much', costs => 2, line => 'cost=2 settle=$true' },
    { name => 'more', costs => 3, line => 'cost=2 settle=$true' },
    { name => 'less', costs => 1, line => 'cost=2 settle=$true' },
    { name => 'a constant, less', costs => 1, line => 'cost=2 settle=1' },
);

my %wanted = map { $_ => 1 } split /,/, $ENV{KINDS} // '';
my $missed = 0;

$| = 1;

by_number();
by_kind();
by_settlement();

print "missed: more than the ratio allowed\n" if $missed;

exit !!$missed;


sub by_number {
    printf "### Instructions for one decision\n\n"
        . "callgrind, %d admitted requests, all keys known; the key is a "
        . "header; ratio: at most %.2f\n\n"
        . "| keys | limit_req | tbucket | ratio |\n"
        . "| ---: | ---: | ---: | ---: |\n", REQUESTS, $kinds[0]{most};

    for my $n (@keys) {
        my ($none, $theirs, $ours) =
            map { measure($kinds[0], $_, $n) } qw(none limit_req off);

        row($kinds[0], $n, $theirs - $none, $ours - $none);
    }

    print "\n";
}


sub by_kind {
    printf "### Instructions by what the key is\n\n"
        . "callgrind, %d admitted requests, %d keys; registered and made-up: "
        . "the key is a header, with %s; in flight: of "
        . "limit_conn; API product: known=required, a rate, a quota a month "
        . "and requests in flight; ietf and legacy: what tbucket_headers "
        . "adds\n\n"
        . "| key | limit_req | tbucket | ratio | at most | + ietf | + legacy "
        . "|\n"
        . "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        REQUESTS, KNOWN, $fallback;

    for my $kind (@kinds) {
        next if %wanted && !$wanted{ $kind->{name} };

        my ($none, $theirs, $ours, @headers) =
            map { measure($kind, $_, KNOWN) }
            qw(none limit_req off ietf legacy);

        row($kind, $kind->{name}, $theirs - $none, $ours - $none,
            sprintf('%.2f', $kind->{most}),
            map { sprintf '%.0f', $_ - $ours } @headers);
    }

    print "\n";
}


sub by_settlement {
    return if %wanted && !$wanted{settle};

    printf "### Instructions that settle adds\n\n"
        . "callgrind, %d admitted requests, %d keys in a header; at most %d"
        . "\n\n| the true cost is | without | with settle | + |\n"
        . "| --- | ---: | ---: | ---: |\n", REQUESTS, KNOWN, SETTLE;

    for my $settled (@settled) {
        my $kind = { %{ $kinds[0] }, settle => $settled->{line},
                     argument => sub { "?c=$settled->{costs}" } };
        my ($without, $with) =
            map { measure($kind, $_, KNOWN) } qw(unsettled settled);

        printf "| %s | %.0f | %.0f | %.0f |\n", $settled->{name}, $without,
            $with, $with - $without;

        $missed ||= $with - $without > SETTLE;
    }

    print "\n";
}


sub row {
    my ($kind, $name, $theirs, $ours, @more) = @_;

    printf "| %s | %.0f | %.0f | %.2f |%s\n", $name, $theirs, $ours,
        $ours / $theirs, join '', map { " $_ |" } @more;

    $missed ||= $ours > $kind->{most} * $theirs;
}


# Returns the instructions that a request takes in the phases.

sub measure {
    my ($kind, $limiter, $n) = @_;
    my $port = free_port();
    my $nginx = profiled(modules => [$module], port => $port,
                         http => configuration($kind, $port, $limiter, $n),
                         options => ['--instr-atstart=no',
                                '--toggle-collect=ngx_http_core_run_phases']);

    register($port, $n) if $kind->{registered};
    ask($nginx, $kind, 0 .. $n - 1);
    count($nginx);
    ask($nginx, $kind, map { $_ * PRIME % $n } 1 .. REQUESTS);
    stop($nginx);

    return total($nginx) / REQUESTS;
}


sub configuration {
    my ($kind, $port, $limiter, $n) = @_;
    my $zone = $kind->{zone} // '';
    my $ours = join ' ', map { "tbucket zone=$_;" }
                         @{ $kind->{zones} // ['bucket'] };
    my %lines = (
        none      => '',
        limit_req => $kind->{theirs}
                     // 'limit_req zone=req burst=1000000 nodelay;',
        map { $_ => "$ours tbucket_headers $_;" } qw(off ietf legacy),
    );
    my $settle = $kind->{settle} // '';
    my $true = 'tbucket_headers off; set $true $arg_c; tbucket zone=bucket';

    $lines{settled} = "$true $settle;";
    $lines{unsettled} = "$true " . $settle =~ s/settle=\S+//r . ';';

    # both are given the room that all keys need, and no refusals

    my $size = 4 + int($n / 2000);

    return <<"EOF";
    tbucket_refill 10s;
    limit_req_zone $kind->{key} zone=req:${size}m rate=100000r/s;
    tbucket_zone $kind->{key} $zone zone=bucket:${size}m rate=100000r/s
                 capacity=1000000;
    tbucket_zone $kind->{key} zone=month:${size}m quota=1000000/month;
    tbucket_zone $kind->{key} zone=open:${size}m inflight=1000;
    limit_conn_zone $kind->{key} zone=conn:${size}m;
    server {
        listen 127.0.0.1:$port;
        location / {
            $lines{$limiter}
            empty_gif;
        }
        location /clients {
            tbucket_api zone=bucket write=on;
        }
    }
EOF
}


sub register {
    my ($port, $n) = @_;

    call('POST', "http://127.0.0.1:$port/clients",
         '[' . join(',', map {
             sprintf '{"client_id":"key-%07d","capacity":1000000,'
                 . '"rate_per_sec":100000}', $_
         } 0 .. $n - 1) . ']');
}


# One request of each of these keys.  Where the key is an address, a
# connection from one of them asks for as many as there are in a batch.

sub ask {
    my ($nginx, $kind, @keys) = @_;
    my $argument = $kind->{argument} || sub { '' };
    my $header = $kind->{header} || sub { '' };
    my @requests = map {
        "HEAD /" . $argument->($_) . " HTTP/1.1\r\n" . CURL
            . $header->($_) . "\r\n"
    } @keys;

    if (!$kind->{address}) {
        exchange($nginx, 200, BATCH, @requests);
        return;
    }

    for (my $i = 0; $i < @keys; $i += BATCH) {
        my $last = $i + BATCH > @keys ? $#keys : $i + BATCH - 1;

        reconnect($nginx, sprintf '127.0.%d.%d', 1 + $keys[$i] / 250,
                  1 + $keys[$i] % 250);
        exchange($nginx, 200, BATCH, @requests[$i .. $last]);
    }
}
