# Reloads under load: no request fails, and buckets, clients and health stay.
# RELOAD_SECONDS=60 makes it a hundred of them.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Gateway::Process qw(finish fork_child);
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{RELOAD_SECONDS} || 6;

my @b    = map { backend(name => $_) } qw(a b);
my $dead = backend(name => 'dead');
$dead->stop;

my $g = gateway(<<"END", workers => 2);
    tbucket_zone \$arg_k zone=z:1m rate=1r/h capacity=3;
    upstream u {
        lb round_robin;
        lb_health_check interval=300ms timeout=10s fall=2;
        @{[ map { $_->server } @b, $dead ]}
    }
    server {
        listen 127.0.0.1:%%PORT%% backlog=1024;
        location / { proxy_pass http://u; }
        location /limited { tbucket zone=z; proxy_pass http://u; }
    }
    server {
        listen 127.0.0.1:%%PORT_admin%% backlog=1024;
        location /clients { tbucket_api zone=z write=on; }
        location /upstreams { lb_api write=on; }
    }
END

my $admin = $g->port('admin');


# "up up down", or why it is not known

sub states
{
    my $r = get($admin, '/upstreams/u');
    return $r->{error} // $r->{code} if $r->{code} != 200;

    my $u = decode_json($r->{body});
    return join(' ', map { $_->{state} } @{ $u->{servers} });
}

is(get($g, '/limited?k=a')->{code}, 200, 'a client takes a token') for 1 .. 3;
is(get($g, '/limited?k=a')->{code}, 429, 'until there is none');

is(request($admin, 'PUT', '/clients/b',
           headers => { 'Content-Type' => 'application/json' },
           body => '{"capacity":5,"rate_per_sec":0.001}')->{code}, 201,
   'another one is registered');
is(get($g, '/limited?k=b')->{code}, 200, 'and takes one of its five');

ok(wait_for(sub { states() eq 'up up down' }), 'the dead server is down');

# What the server's states are after each reload, a line each.

my $file = $g->dir . '/states';
my $reloader = fork_child(sub {
    open(my $out, '>>', $file) or die "$file: $!\n";
    $out->autoflush(1);
    my $end = time() + $seconds;

    while (time() < $end) {
        CORE::kill('HUP', $g->pid);
        sleep(0.27);
        print $out states() . "\n";
        sleep(0.27);
        print $out states() . "\n";
    }
});

my $l = load($g, '/', connections => 16, seconds => $seconds,
             keepalive => 0);
Gateway::Process::wait_exit($reloader, 20);

my $reloads = () = $g->log =~ /signal \d+ \(SIGHUP\) received/g;
cmp_ok($reloads, '>=', $seconds / 2, "$reloads reloads are made");
cmp_ok($l->{total}, '>', 20 * $seconds, "during $l->{total} requests");
is($l->{codes}{200}, $l->{total}, 'on new connections, and each is answered')
    or diag(explain($l->{codes}), $l->{error});
unlike($g->log, qr/\[(?:emerg|alert|crit)\]/, 'without a word of trouble');

is(get($g, '/limited?k=a')->{code}, 429, 'the drained bucket stays drained');
is(get($g, '/limited?k=b')->{code}, 200, 'the client keeps its limits')
    for 1 .. 4;
is(get($g, '/limited?k=b')->{code}, 429, 'and what it has used of them');

my %seen = map { $_ => 1 } split(/\n/, Gateway::slurp($file));
is_deeply([sort keys %seen], ['up up down'],
          'the dead server is down all the time, the others are up');

ok($g->wait_workers(2), 'there are as many workers as before');
ok(wait_for(sub { !$g->old_workers }, 30), 'and no old ones');
is($g->quit, 0, 'it ends in peace');

done_testing();
