#!/usr/bin/env perl

# Clients in Redis: how many a second an nginx loads at its start, beside
# redis-cli that reads the same hash; the longest pass of its event loop
# meanwhile; and how long a change through one nginx takes to limit at another.
#
# How: a redis-server of our own.  A change is seen when GET in the API of the
# other one shows it; that is asked all the time.
#
# Environment: NGINX_BIN and MODULES (paths), CC, CLIENTS, CHANGES.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(backend free_port gateway get module passes put redis servers stop
             watched);
use Time::HiRes qw(sleep time);

use constant {
    LOADED  => 3,              # s, for 100,000 clients
    LONGEST => 5,              # ms
    SEEN    => 100,            # ms
};

my $clients = $ENV{CLIENTS} || 100_000;
my $changes = $ENV{CHANGES} || 100;
my ($redis) = redis();
my $backend = backend();

fill();

my $began = time;
system("redis-cli -p $redis HGETALL 'tbucket:{z}:clients' >/dev/null") == 0
    or die "redis-cli failed\n";
my $rival = time - $began;

$began = time;
my ($one, $api) = start('one');
my $loaded = loaded($one) - $began;
my ($longest) = passes($one);

my ($two, $other) = start('other');
loaded($two);

my @seen = sort { $a <=> $b } map { seen($_) } 1 .. $changes;
my $median = 1000 * $seen[@seen / 2];

printf "### Clients in Redis, loaded at a start\n\n"
    . "| clients | s | clients/s | of redis-cli | / redis-cli"
    . " | longest pass, ms |\n"
    . "| ---: | ---: | ---: | ---: | ---: | ---: |\n"
    . "| %d | %.2f | %.0f | %.0f | %.2f | %.2f |\n\n", $clients, $loaded,
    $clients / $loaded, $clients / $rival, $rival / $loaded, $longest;
printf "### A change at one nginx, until it limits at another\n\n"
    . "| changes | median, ms | longest, ms |\n| ---: | ---: | ---: |\n"
    . "| %d | %.1f | %.1f |\n", $changes, $median, 1000 * $seen[-1];

my @missed = ($loaded / $clients > LOADED / 100_000
              ? "loaded in ${\LOADED} s per 100,000" : (),
              $longest > LONGEST ? "no pass above ${\LONGEST} ms" : (),
              $median > SEEN ? "seen after ${\SEEN} ms" : ());

print "\nmissed: $_\n" for @missed;
exit !!@missed;


sub fill {
    for (1 .. 100) {
        last if `redis-cli -p $redis PING 2>/dev/null` =~ /PONG/;
        sleep 0.1;
    }

    open my $pipe, '|-', "redis-cli -p $redis --pipe >/dev/null"
        or die "redis-cli: $!\n";

    for (0 .. $clients - 1) {
        my @words = ('HSET', 'tbucket:{z}:clients', "client-$_",
                     '{"capacity":100,"rate_per_sec":10}');

        print $pipe '*' . @words . "\r\n",
            map { '$' . length($_) . "\r\n$_\r\n" } @words;
    }

    close $pipe or die "redis-cli failed\n";
    system("redis-cli -p $redis SET 'tbucket:{z}:epoch' 1 >/dev/null");
}


sub start {
    my ($node) = @_;
    my $port = free_port();
    my $nginx = watched(sub {
        gateway(workers => 1, modules => [ module('tbucket') ],
                upstream => servers(1, $backend->{port}), location => '',
                http => <<"EOF")
    tbucket_zone \$http_x_api_key zone=z:64m rate=1r/s;
    tbucket_store redis://127.0.0.1:$redis node=$node;
    server {
        listen 127.0.0.1:$port;
        location /clients { tbucket_api zone=z write=on; }
        location /metrics { tbucket_metrics; }
    }
EOF
    });

    $nginx->{admin} = "127.0.0.1:$port";

    return ($nginx, $nginx->{admin});
}


# When the nginx knows all clients.

sub loaded {
    my ($nginx) = @_;

    for (1 .. 6000) {
        my $text = get("http://$nginx->{admin}/metrics");

        return time if $text =~ /^tbucket_clients\{zone="z"\} $clients$/m;
        sleep 0.01;
    }

    die "not all clients are loaded\n";
}


# Seconds from the answer to a change until the other nginx shows it.

sub seen {
    my ($n) = @_;
    my $id = 'client-' . int rand $clients;
    my $body = '{"capacity":' . (1000 + $n) . ',"rate_per_sec":10}';

    put("http://$api/clients/$id", $body);

    my $from = time;

    for (1 .. 10_000) {
        return time - $from
            if get("http://$other/clients/$id") =~ /"capacity":@{[1000 + $n]},/;
    }

    die "a change is not seen\n";
}
