# docker/demo.py, by itself and under make: how it stops.  Three of them at
# once, one for each signal.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Gateway::Process qw(alive spawn wait_exit);
use IO::Socket::INET;
use Test::More;

my $top = "$FindBin::Bin/..";
my $dir = temp_dir();

my $modules = "$top/build/release";
if (my ($folder) = ($ENV{TEST_NGINX_LOAD_MODULES} // '')
                   =~ m{^\s*(\S+)/[^/]+\.so})
{
    $modules = Gateway::absolute($folder);
}

my @env = ('NGINX_BIN=' . ($ENV{TEST_NGINX_BINARY} || ''),
           "MODULES=$modules", 'RATE=1000r/s', 'CAPACITY=1000');

# As in our Makefile: Ctrl-C reaches make as well.

open(my $makefile, '>', "$dir/Makefile") or die "Makefile: $!\n";
print $makefile "demo:\n\t\@exec $top/docker/demo.py\n";
close($makefile);


# Three ports in a row that nobody has.

sub backend_port
{
    while (1) {
        my $port = Gateway::free_port();
        my @socks = map {
            IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $_,
                                  Listen => 1)
        } $port + 1, $port + 2;
        return $port if @socks == grep { $_ } @socks and @socks == 2;
    }
}


# Everything that a process has started, and what that has.

sub offspring
{
    my @pids = Gateway::Process::children($_[0]);
    return map { ($_, offspring($_)) } @pids;
}


sub demo
{
    my ($name, $signal, $to_group, @command) = @_;

    my %d = (name => $name, signal => $signal, port => free_port(),
             admin => free_port(), out => "$dir/$signal.out");
    $d{pid} = spawn($d{out}, '/usr/bin/env', @env, "DEMO_DIR=$dir/$signal",
                    "PORT=$d{port}", "ADMIN_PORT=$d{admin}",
                    'BACKEND_PORT=' . backend_port(), @command);
    $d{target} = $to_group ? -$d{pid} : $d{pid};

    return \%d;
}

my @demos = (demo('Ctrl-C', 'INT', 1, 'make', '-s', '-C', $dir, 'demo'),
             demo('SIGTERM', 'TERM', 0, "$top/docker/demo.py"),
             demo('SIGQUIT', 'QUIT', 0, "$top/docker/demo.py"));

for my $d (@demos) {
    ok(wait_for(sub { (get($d->{port}, '/')->{code} // 0) == 200 }, 30),
       "$d->{name}: it serves")
        or diag(Gateway::slurp($d->{out}));
    $d->{processes} = [offspring($d->{pid})];
    cmp_ok(scalar @{ $d->{processes} }, '>=', 5,
           'by three backends, nginx and its workers');
}

subtest 'the status page' => sub {
    my $d = $demos[0];
    like(get($d->{admin}, '/')->{body}, qr/<title>Gateway/, 'is there');
    ok(wait_for(sub { Gateway::slurp($d->{out}) =~
                      m{http://localhost:$d->{admin}/} }), 'where it is said');
};

subtest 'a second demo in one place' => sub {
    my $d = demo('second', 'HUP', 0, '/usr/bin/env', "DEMO_DIR=$dir/TERM",
                 "$top/docker/demo.py");
    is(wait_exit($d->{pid}, 20), 1 << 8, 'does not start');
    like(Gateway::slurp($d->{out}), qr/demo: another demo runs in \S+TERM;/,
         'and says why');
};

for my $d (@demos) {
    my @clients = map { client($d->{port}) } 1 .. 200;
    $_->send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for @clients;
    $d->{clients} = \@clients;

    ok(wait_for(sub {
        my $status = get($d->{admin}, '/status')->{body} // '';
        return $status =~ /Writing: (\d+)/ && $1 > 200;
    }), "$d->{name}: 200 requests are in flight");
    kill($d->{signal}, $d->{target});
}

for my $d (@demos) {
    subtest $d->{name} => sub {
        ok(wait_for(sub {
            (get($d->{port}, '/')->{error} // '') =~ /refused/
        }), 'new connections are refused');

        my $good = grep { ($_->response->{code} // 0) == 200 }
                   @{ $d->{clients} };
        is($good, 200, 'all 200 requests are answered');

        my $status = wait_exit($d->{pid}, 50);
        my $out = Gateway::slurp($d->{out});
        if ($d->{name} eq 'Ctrl-C') {
            is($status, 2, 'make ends by the signal that it got')
                or diag($out);
        } else {
            is($status, 0, 'the exit code is 0') or diag($out);
        }
        unlike($out, qr/Error \d|Traceback|demo: /, 'it does not complain');
        ok(wait_for(sub { !grep { alive($_) } @{ $d->{processes} } }, 5),
           'nothing stays');
    };
}

done_testing();
