package Gateway::Process;

# Processes that a test starts, and that do not outlive it; waiting for
# events; ports and directories that nobody else has.

use v5.28;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);
use File::Path qw(remove_tree);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(alive children finish fork_child free_port spawn temp_dir
                    time_factor wait_exit wait_for);

my $owner = $$;
my (%live, %status, %taken, @dirs);

$SIG{$_} ||= sub { exit 130 } for qw(INT TERM HUP);


sub time_factor { return $ENV{TEST_TIME_FACTOR} || 1 }


sub wait_for
{
    my ($code, $timeout) = @_;

    my $end   = time() + ($timeout // 10) * time_factor();
    my $pause = 0.001;

    while (1) {
        my $value = $code->();
        return $value if $value;
        return undef if time() > $end;

        sleep($pause);
        $pause *= 1.3 if $pause < 0.05;
    }
}


# Below the range from which the system takes ports of clients.

sub free_port
{
    for (1 .. 1000) {
        my $port = 10000 + int(rand(22000));
        next if $taken{$port};

        my $sock = IO::Socket::INET->new(LocalAddr => '0.0.0.0',
                                         LocalPort => $port,
                                         Listen    => 1) or next;
        $taken{$port} = 1;
        return $port;
    }

    die "no free port\n";
}


sub temp_dir
{
    my $dir = tempdir('gateway-XXXXXXXX', TMPDIR => 1);
    chmod(0755, $dir);
    push @dirs, $dir;

    return $dir;
}


# Runs a program in a process group of its own, its output in a file.

sub spawn
{
    my ($out, @command) = @_;

    return fork_child(sub {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', $out) or die "$out: $!\n";
        open(STDERR, '>&', \*STDOUT);
        exec { $command[0] } @command or die "$command[0]: $!\n";
    });
}


sub fork_child
{
    my ($code) = @_;

    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        POSIX::setpgid(0, 0);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT PIPE);
        eval { $code->(); 1 } or print STDERR $@;
        POSIX::_exit($@ ? 127 : 0);
    }

    POSIX::setpgid($pid, $pid);
    $live{$pid} = 1;

    return $pid;
}


sub reap
{
    my ($pid) = @_;

    if (!exists $status{$pid} && waitpid($pid, WNOHANG) == $pid) {
        $status{$pid} = $?;
        delete $live{$pid};
    }

    return $status{$pid};
}


sub alive { return kill(0, $_[0]) && !defined reap($_[0]) }


# The wait status, or undef when it has not exited in time.

sub wait_exit
{
    my ($pid, $timeout) = @_;

    wait_for(sub { defined reap($pid) }, $timeout);

    return $status{$pid};
}


# Kills the whole group at once.

sub finish
{
    my ($pid) = @_;

    kill('KILL', -$pid);
    return wait_exit($pid, 10);
}


# Asks all to end, for what tools have to say at the exit of a process.

sub end_well
{
    kill('TERM', $_) for keys %live;
    wait_for(sub { reap($_) for keys %live; return !%live }, 10);
}


sub children
{
    my ($parent) = @_;

    my @pids;

    for my $path (glob('/proc/[0-9]*/stat')) {
        open(my $in, '<', $path) or next;
        my ($pid, $state, $ppid) = (<$in> // '')
                                   =~ /^(\d+) \(.*\) (\w) (\d+)/s or next;
        push @pids, $pid if $ppid == $parent && $state ne 'Z';
    }

    return sort { $a <=> $b } @pids;
}


END {
    if ($$ == $owner) {
        my $exit = $?;

        end_well() if $ENV{TEST_GRACEFUL};
        finish($_) for keys %live;

        if ($exit == 0 && Test::More->builder->is_passing) {
            remove_tree(@dirs);
        } else {
            Test::More::diag("files are kept in $_") for grep { -d } @dirs;
        }

        $? = $exit;
    }
}


1;
