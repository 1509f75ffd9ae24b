# Servers are killed, started, paused, break off in the header, answer 500 and
# flap, under load, with every method, with checks and without: as long as one
# server lives, no client sees any of it.
#
# FAULT_SECONDS=60 for longer.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);

my $SECONDS = $ENV{FAULT_SECONDS} // 6;

my %b = map { $_ => backend(name => $_) } qw(good dies stops breaks flaps);

my $servers = join ' ', map { $_->server('fail_timeout=1s') } values %b;

my @methods = ('round_robin', 'least_conn', 'random', 'p2c', 'least_time',
               'hash $request_uri');

my (@names, $upstreams, $locations);

for my $method (@methods) {
    for my $check ('', 'lb_health_check interval=100ms timeout=300ms '
                       . 'fall=2 rise=1 uri=/healthz;')
    {
        my $name = ($method =~ /^(\w+)/)[0] . ($check ? '_checked' : '');

        push @names, $name;
        $upstreams .= "upstream $name { lb $method; lb_keepalive 0; $check "
                      . "$servers }\n";
        $locations .= "location /$name { proxy_pass http://$name; }\n";
    }
}

my $g = gateway(<<"END", workers => 2, log_level => 'notice');
    $upstreams
    proxy_connect_timeout 1s;
    proxy_read_timeout 1s;
    proxy_next_upstream error timeout invalid_header http_500;
    server { listen 127.0.0.1:%%PORT%%; $locations }
END

# What happens, when it has to: each fault has its own rhythm, in seconds.

my %fault = (
    dies   => [0.7, sub { $_[0] ? $b{dies}->kill : $b{dies}->start_again }],
    stops  => [0.9, sub { $_[0] ? $b{stops}->pause : $b{stops}->resume }],
    flaps  => [0.1, sub { $_[0] ? $b{flaps}->kill : $b{flaps}->start_again }],
    breaks => [0.5, sub {
        $b{breaks}->behave(!$_[0]           ? ()
                           : $_[1] % 4 == 1 ? (status => 500)
                                            : (action => 'mid-header'));
    }],
);
my (%due, %turn);
$due{$_} = time() + $fault{$_}[0] for keys %fault;

my (%codes, %seen, $bad);

my $l = load($g, sub { "/$names[$_[0] % @names]?$_[0]" },
             connections => 32, seconds => $SECONDS, retry => 1,
             each => sub {
    my ($r, $i) = @_;

    my $name = $names[$i % @names];
    $codes{$name}{ $r->{code} }++;
    $seen{ $r->{headers}{'x-backend'} // '' }++;
    $bad //= "$name: $r->{code} " . ($r->{error} // $r->{head} // '')
        if $r->{code} != 200;

    my $now = time();
    for (keys %fault) {
        next if $due{$_} > $now;

        my ($every, $do) = @{ $fault{$_} };
        $turn{$_}++;
        $do->($turn{$_} % 2, $turn{$_});
        $due{$_} = time() + $every;
    }
});

for (@names) {
    is_deeply([keys %{ $codes{$_} }], [200],
              "$_: all " . ($codes{$_}{200} // 0) . ' requests are answered');
}
diag("the first that was not: $bad") if $bad;

cmp_ok($turn{$_}, '>=', $SECONDS / $fault{$_}[0] / 3,
       "a server that $_ did so") for sort keys %fault;
is(scalar(grep { $seen{$_} } keys %b), 5, 'and all of them took part')
    or diag(explain(\%seen));

my @log = split /^/, $g->log;
for my $why ('connect\(\) failed', 'timed out', 'status 500',
             '(?:recv|upstream)')
{
    ok(scalar(grep { /lb: retrying on \S+ after \S+ failed \($why/ } @log),
       "requests were tried again after $why");
}
for my $why ('connect\(\) failed', 'timed out') {
    ok(scalar(grep { /_checked" is down: $why/ } @log), "checks saw $why");
}
is_deeply([grep { /\[(?:alert|emerg|crit)\]/ } @log], [],
          'and there is nothing alarming in the log');

# The good one may be slow where the machine is, and is a last resort then.

my $good = '127.0.0.1:' . $b{good}->port;
my $slow = grep { /server \Q$good\E in upstream \S+ is down: timed out/ } @log;

is_deeply([grep { !$slow && /no live servers/ } @log], [],
          'nor was there ever no server');
diag("the good server was too slow $slow times") if $slow;

diag(sprintf('%d requests in %.0f s', $l->{total}, $l->{seconds}))
    if $ENV{FAULT_SECONDS};

done_testing();
