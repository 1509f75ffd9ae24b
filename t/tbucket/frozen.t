# All of nginx stands still for minutes, hours or days (a container that is
# paused, a virtual machine that is resumed, SIGSTOP): afterwards buckets hold
# what that time has earned, whoever comes first, a request or the ticker.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);

# what comes before nginx in a sanitizer's run excludes it

plan skip_all => 'the clock of this nginx cannot be faked'
    if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/;

my ($lib) = glob('/usr/lib/*/faketime/libfaketime.so.1');
BAIL_OUT('libfaketime is not installed') unless $lib;

my $file = temp_dir() . '/time';
my $ahead;


# All clocks of nginx, the monotonic one as well.

sub step
{
    ($ahead) = @_;
    open(my $out, '>', "$file.new") or die "$file.new: $!";
    print $out "+$ahead\n";
    close($out);
    rename("$file.new", $file) or die "$file: $!";
}


sub remaining
{
    my ($g, $key, $cost) = @_;
    my $res = get($g, "/?key=$key&cost=$cost");

    is($res->{code}, 200, "$key: $cost taken") if $cost;

    return ($res->{headers}{ratelimit} // '') =~ /;r=(\d+)/ ? $1 : -1;
}


# A bucket earns a token a second; what it had is taken away first.

sub frozen
{
    my ($g, $hours, $meanwhile) = @_;
    my $seconds = $hours * 3600;
    my $begin = time;

    for my $key ("r$hours", "t$hours", 'client') {
        my $left = remaining($g, $key, 0);
        is(remaining($g, $key, $left - 5), 5, "$key: nearly drained");
    }

    step($ahead + $seconds);
    $meanwhile->() if $meanwhile;

    for my $key ("r$hours", "t$hours", 'client') {
        my $left = remaining($g, $key, 0);

        cmp_ok($left, '>=', $seconds, "$hours h: $key has earned them");
        cmp_ok($left, '<=', $seconds + 5 + time - $begin + 1, 'and no more');
    }
}


sub start
{
    my ($refill, $workers) = @_;

    my %env = (LD_PRELOAD => $lib, FAKETIME_NO_CACHE => 1,
               FAKETIME_TIMESTAMP_FILE => $file);

    step(0);

    my $g = gateway(<<"EOT", workers => $workers, log_level => 'info',
        tbucket_refill $refill;
        tbucket_zone \$arg_key zone=z:1m rate=1r/s capacity=1000000;
        server {
            listen 127.0.0.1:%%PORT%%;
            root %%DIR%%/html;
            location = / { tbucket zone=z cost=\$arg_cost; try_files /none \@ok; }
            location \@ok { return 200; }
            location /clients { tbucket_api zone=z write=on; }
        }
EOT
        env => \%env, main => join("\n", map { "env $_;" } keys %env));

    my $res = request($g, 'PUT', '/clients/client',
                      headers => { 'Content-Type' => 'application/json' },
                      body => '{"capacity":900000,"rate_per_sec":1}');
    is($res->{code}, 201, 'a client with limits of its own');

    return $g;
}


subtest 'requests come first' => sub {
    my $g = start('10s', 2);

    frozen($g, $_) for 0.5, 1, 2.4, 3, 4.5, 5, 24, 200;

    unlike($g->log, qr/\[alert\]|exited on signal/, 'nothing has broken');
};


subtest 'the ticker comes first' => sub {
    my $g = start('10ms', 2);

    frozen($g, $_, sub { Time::HiRes::sleep(0.2) }) for 2.4, 4.5, 12, 100;
};


subtest 'the worker with the ticker is killed, or nginx reloads' => sub {
    my $g = start('50ms', 2);

    frozen($g, 3, sub { CORE::kill('KILL', ($g->workers)[0]) });
    frozen($g, 4, sub { $g->reload });
    frozen($g, 30, sub { CORE::kill('KILL', $g->workers); });
};


done_testing();
