package Test::Nginx::Socket;

# Stands in for Test::Nginx from CPAN, which Debian does not package: the
# sections and functions that our suites use, with the meaning they have
# there, on Debian's Test::Base.  "make test" puts this directory on Perl's
# path only where the real Test::Nginx is not installed.

use v5.28;
use warnings;

use Test::Base -base;

use List::Util qw(shuffle);
use Test::Nginx::Client ();
use Test::Nginx::Server ();
use Time::HiRes ();

our $VERSION = '0.33';

our @EXPORT = qw(
    add_block_preprocessor add_cleanup_handler add_response_body_check
    add_test_cleanup_handler bail_out check_accum_error_log config_preamble
    env_to_nginx html_dir is_str log_level master_off master_on
    master_process_enabled no_long_string no_root_location no_shuffle plan
    repeat_each run_tests server_addr server_name server_port
    server_port_for_client server_root timeout worker_connections workers
);

# Sections of the real one that a test cannot have here: better to stop than
# to pass without having looked.

my @UNSUPPORTED = qw(
    curl http2 http3 http09 init_by_lua reload_fails stap stap_out
    response_body_eval request_eval response_body_json_sort
    shutdown_error_log no_shutdown_error_log tcp_listen tcp_reply tcp_query
    todo todo_nginx udp_listen udp_reply udp_query skip_nginx2 skip_openssl
);

my $RepeatEach = 1;
my $NoShuffle  = $ENV{TEST_NGINX_NO_SHUFFLE};
my $Timeout    = $ENV{TEST_NGINX_TIMEOUT} || 3;
my $Sleep      = $ENV{TEST_NGINX_SLEEP} || 0.015;
my $AccumErrorLog;

my (@preprocessors, @cleanups, @test_cleanups, @body_checks);

my $server = Test::Nginx::Server->new;

sub repeat_each(@)  { $RepeatEach = shift if @_; $RepeatEach }
sub timeout(@)      { $Timeout = shift if @_; $Timeout }
sub no_shuffle()    { $NoShuffle = 1 }
sub no_long_string() { }
sub check_accum_error_log() { $AccumErrorLog = 1 }

sub workers(@)      { $server->option('workers', @_) }
sub worker_connections(@) { $server->option('connections', @_) }
sub log_level(@)    { $server->option('log_level', @_) }
sub master_on()     { $server->option('master', 'on') }
sub master_off()    { $server->option('master', 'off') }
sub no_root_location() { $server->option('root_location', 0) }
sub config_preamble($) { $server->option('preamble', shift) }
sub server_name(@)  { $server->option('name', @_) }
sub server_addr(@)  { $server->option('addr', @_) }
sub server_port(@)  { $server->option('port', @_) }
sub server_port_for_client(@) { $server->option('client_port', @_) }
sub html_dir()      { $server->html_dir }
sub server_root()   { $server->root }
sub env_to_nginx(@) { push @{ $server->option('env') }, @_ }

sub master_process_enabled(@)
{
    return $server->option('master', @_ ? (shift() ? 'on' : 'off') : ());
}

sub add_block_preprocessor(&)   { unshift @preprocessors, shift }
sub add_cleanup_handler($)      { unshift @cleanups, shift }
sub add_test_cleanup_handler($) { unshift @test_cleanups, shift }
sub add_response_body_check($)  { push @body_checks, shift }


sub bail_out(@)
{
    $server->stop;
    Test::More::BAIL_OUT("@_");
}


sub is_str(@)
{
    my ($got, $expected, $name) = @_;

    return ref $expected eq 'Regexp' ? Test::More::like($got, $expected, $name)
                                     : Test::More::is($got, $expected, $name);
}


sub run_tests()
{
    $ENV{TEST_NGINX_SERVER_PORT} //= $server->option('port');

    my @blocks = Test::Base::blocks();

    for my $block ($NoShuffle ? @blocks : shuffle(@blocks)) {
        $_->($block) for @preprocessors;
        $block->set_value('name', "$0 " . $block->name);

        for my $section (@UNSUPPORTED) {
            bail_out($block->name . " - section $section is only in the "
                     . 'real Test::Nginx')
                if defined $block->$section;
        }

        run_block($block);
        $_->($block) for @test_cleanups;
    }

    $_->() for @cleanups;
    @cleanups = ();

    $server->stop;
}


sub run_block
{
    my ($block) = @_;

    my $name = $block->name;

    if (my ($tests, $why) = skipped($block)) {
        for (1 .. $RepeatEach) {
          SKIP: { Test::More::skip("$name - $why", $tests) }
        }
        return;
    }

    $server->new_ports;

    if (defined $block->config || defined $block->must_die) {
        $server->stop;

        eval { $server->prepare($block); 1 } or bail_out("$name - $@");

        if (defined $block->must_die) {
            must_die($block);
            return;
        }

        eval { $server->start; 1 } or bail_out("$name - $@");

    } elsif (!$server->running) {
        bail_out("$name - no section config, and no nginx running");
    }

    if (defined $block->init) {
        eval $block->init;
        bail_out("$name - init failed: $@") if $@;
    }

    $server->rewind_error_log;

    for my $i (0 .. $RepeatEach - 1) {
        run_requests($block, $i);
    }
}


# (number of tests, reason) when the block is not for this nginx.

sub skipped
{
    my ($block) = @_;

    if (defined(my $spec = $block->skip_nginx)) {
        my ($tests, $op, $version, $why) = $spec =~
            m{^\s*(\d+)\s*:\s*([<>]=?)\s*(\d+\.\d+\.\d+)\s*(?::\s*(.*))?$}
            or bail_out($block->name . " - invalid skip_nginx: $spec");

        my $cmp = version->parse("v" . $server->version)
                  <=> version->parse("v$version");
        my $is = $op eq '<' ? $cmp < 0 : $op eq '<=' ? $cmp <= 0
               : $op eq '>' ? $cmp > 0 : $cmp >= 0;

        return ($tests, $why || "nginx version $op $version") if $is;
    }

    if (defined(my $spec = $block->skip_eval)) {
        my ($tests, $code) = $spec =~ /^\s*(\d+)\s*:\s*(.*)/s
            or bail_out($block->name . " - invalid skip_eval: $spec");

        my $is = eval $code;
        bail_out($block->name . " - skip_eval failed: $@") if $@;

        return ($tests, 'skip_eval') if $is;
    }

    return;
}


sub must_die
{
    my ($block) = @_;

    my $name = $block->name;
    my $code = $block->must_die;

    $server->rewind_error_log;

    for my $i (0 .. $RepeatEach - 1) {
        my $status = $server->run_quietly;

        if ($status & 127) {
            Test::More::fail("$name - nginx killed by signal "
                             . ($status & 127));

        } elsif ($code =~ /^\d+$/) {
            Test::More::is($status >> 8, $code,
                           "$name - die with the expected exit code");

        } else {
            Test::More::isnt($status, 0, "$name - die as expected");
        }

        $server->stop if $status == 0;

        check_error_log($block, $i);
    }
}


sub run_requests
{
    my ($block, $repeated) = @_;

    my $name      = $block->name;
    my $pipelined = $block->pipelined_requests;

    my @requests = eval {
        Test::Nginx::Client::requests(
            $block, $server->option('name'), sub { $server->expand(@_) })
    };
    bail_out("$name - $@") if $@;
    bail_out("$name - request empty") if !@requests;

    my $timeout = $block->timeout // $Timeout;
    $timeout = $1 / 1000 if $timeout =~ /^([\d.]+)ms$/;
    $timeout =~ s/s$//;

    my $responses = $pipelined ? @$pipelined : 1;
    my $total     = $responses * @requests;
    my $n         = 0;

    for my $request (@requests) {
        my $raw = Test::Nginx::Client::exchange(
            $request,
            addr     => $block->server_addr_for_client
                        // $server->option('addr'),
            port     => $server->option('client_port')
                        // $server->option('port'),
            timeout  => $timeout,
            delay    => scalar $block->raw_request_middle_delay,
            shutdown => scalar $block->shutdown);

        if (defined $raw->{error} && !defined $block->abort) {
            Test::More->builder->no_ending(1);
            Test::More::fail("ERROR: $raw->{error} - $name");
        }

        my $left = $raw->{text};

        for (1 .. $responses) {
            if (!defined $block->ignore_response) {
                my $res = Test::Nginx::Client::parse($left, $request);
                $left = $res->{left};

                if (defined $res->{error}) {
                    Test::More->builder->no_ending(1);
                    Test::More::fail("$name - $res->{error}");
                }

                check_response($block, $res, $n, $repeated, $total > 1);
            }

            Time::HiRes::sleep($block->wait) if $block->wait;

            check_error_log($block, $repeated);
            check_log($block, 'access', $server->access_log($Sleep * 3),
                      $repeated)
                if !defined $block->ignore_response
                   && (defined $block->access_log
                       || defined $block->no_access_log);
            $n++;
        }
    }
}


# What is expected of the n-th response: with several, sections are arrays.

sub nth
{
    my ($block, $section, $n, $several) = @_;

    my $value = $block->$section;

    if (ref $value eq 'ARRAY') {
        return $value->[$n];
    }

    if ($several) {
        bail_out($block->name . " - You asked for many requests, the "
                 . "expected results should be arrays as well ($section)");
    }

    return $value;
}


sub check_response
{
    my ($block, $res, $n, $repeated, $several) = @_;

    my $name = $block->name;
    my $want = sub { nth($block, $_[0], $n, $several) };

    if (defined $block->error_code_like) {
        my $re = $want->('error_code_like');
        Test::More::like($res->{code} // '', qr/$re/sm,
                         "$name - status code ok");

    } else {
        Test::More::is($res->{code} // '',
                       defined $block->error_code ? $want->('error_code')
                                                  : 200,
                       "$name - status code ok");
    }

    if (defined $block->raw_response_headers_like) {
        my $re = $want->('raw_response_headers_like');
        Test::More::like($res->{raw_headers}, qr/$re/s,
                         "$name - raw resp headers like");
    }

    if (defined $block->raw_response_headers_unlike) {
        my $re = $want->('raw_response_headers_unlike');
        Test::More::unlike($res->{raw_headers}, qr/$re/s,
                           "$name - raw resp headers unlike");
    }

    check_headers($block, $res, $want);
    check_body($block, $res, $want, $n, $repeated);
}


sub check_headers
{
    my ($block, $res, $want) = @_;

    my $name = $block->name;
    my $like = !defined $block->response_headers;

    return if $like && !defined $block->response_headers_like;

    my $text = $want->($like ? 'response_headers_like' : 'response_headers');

    for my $line (split /\n/, $text) {
        $line =~ s/^\s+|\s+$//g;
        next if $line eq '';

        if ($line =~ s/^!\s*//) {
            Test::More::unlike($res->{raw_headers}, qr/^\s*\Q$line\E\s*:/ms,
                               "$name - header $line not present in the raw "
                               . 'headers');
            next;
        }

        my ($key, $value) = split /\s*:\s*/, $line, 2;
        my $got = join(', ', @{ $res->{headers}{ lc $key } // [] });

        if ($like) {
            Test::More::like($got, qr/^$value$/,
                             "$name - header $key like ok");
        } else {
            Test::More::is($got, with_port($value), "$name - header $key ok");
        }
    }
}


sub check_body
{
    my ($block, $res, $want, $n, $repeated) = @_;

    my $name = $block->name;
    my $body = $res->{body};

    if (defined(my $filters = $block->response_body_filters)) {
        my @filters = ref $filters eq 'ARRAY' ? @$filters
                    : ref $filters ? $filters : split(' ', $filters);

        for my $filter (@filters) {
            bail_out("$name - filter $filter: only in the real Test::Nginx")
                if !ref $filter && $filter !~ /^(?:lc|uc|length)$/;
            $body = ref $filter ? $filter->($body)
                  : $filter eq 'lc' ? lc $body
                  : $filter eq 'uc' ? uc $body : length $body;
        }
    }

    if (defined $block->response_body) {
        my $expected = $want->('response_body');
        $expected = $server->expand(with_port($expected))
            if defined $expected && !ref $expected;

        is_str($body, $expected, "$name - response_body - response is "
               . "expected (repeated req $repeated, req $n)");

    } elsif (defined $block->response_body_like) {
        my $re = with_port($want->('response_body_like'));
        Test::More::like($body, qr/$re/s, "$name - response_body_like - "
                         . 'response is expected');

    } elsif (defined $block->response_body_unlike) {
        my $re = with_port($want->('response_body_unlike'));
        Test::More::unlike($body, qr/$re/s, "$name - response_body_unlike - "
                           . 'response is expected');
    }

    $_->($block, $body, $n, $repeated, 0) for @body_checks;
}


sub with_port
{
    my ($text) = @_;

    my $port = $server->option('port');
    my $client_port = $server->option('client_port') // $port;
    $text =~ s/\$ServerPortForClient\b/$client_port/g;
    $text =~ s/\$ServerPort\b/$port/g;

    return $text;
}


sub check_error_log
{
    my ($block, $repeated) = @_;

    my $name  = $block->name;
    my $lines = $server->error_log($Sleep * 3, $AccumErrorLog);

    check_grep($block, $lines, $repeated);
    check_log($block, 'error', $lines, $repeated);

    for my $level (qw(alert crit emerg)) {
        next if mentions("[$level", $block->error_log)
                || mentions("[$level", $block->no_error_log);

        Test::More::diag("WARNING: $name - $_")
            for grep { /\[$level\]/ } @$lines;
    }
}


sub check_grep
{
    my ($block, $lines, $repeated) = @_;

    my $name = $block->name;
    my $re   = $block->grep_error_log;
    my $out  = $block->grep_error_log_out;

    if (defined $re != defined $out) {
        bail_out("$name - grep_error_log and grep_error_log_out go together");
    }

    return if !defined $re;

    $re  = $re->[$repeated] if ref $re eq 'ARRAY';
    $out = $out->[$repeated] if ref $out eq 'ARRAY';
    $out = $server->expand($out) if !ref $out;

    my $found = '';
    for my $line (@$lines) {
        if (ref $re ? $line =~ /$re/ : $line =~ /\Q$re\E/) {
            $found .= "$&\n" if $& !~ /\n/;
        }
    }

    is_str($found, $out, "$name - grep_error_log_out (req $repeated)");
}


# The sections LOG_log and no_LOG_log: one test for each pattern.

sub check_log
{
    my ($block, $log, $lines, $repeated) = @_;

    my $name = $block->name;
    my ($with, $without) = ("${log}_log", "no_${log}_log");

    for my $pattern (patterns($block->$with)) {
        my $is = grep { matches($_, $pattern) } @$lines;
        Test::More::ok($is, "$name - pattern \"$pattern\" matches a line in "
                       . "$log.log (req $repeated)");
    }

    for my $pattern (patterns($block->$without)) {
        my ($line) = grep { matches($_, $pattern) } @$lines;
        Test::More::ok(!defined $line, "$name - pattern \"$pattern\" does "
                       . "not match a line in $log.log (req $repeated)")
            || Test::More::diag("it matches: $line");
    }
}


sub patterns
{
    my ($value) = @_;

    return ref $value eq 'ARRAY' ? grep { defined } @$value
         : ref $value            ? $value
         : defined $value        ? grep { length } split(/\n+/, $value)
         : ();
}


sub matches
{
    my ($line, $pattern) = @_;

    return ref $pattern ? $line =~ /$pattern/ : $line =~ /\Q$pattern\E/;
}


sub mentions
{
    my ($text, $value) = @_;

    return grep { /\Q$text\E/ } ref $value eq 'ARRAY' ? @$value : $value // ();
}


END {
    if ($server->is_ours) {
        my $status = $?;

        $_->() for @cleanups;
        $server->stop;
        $server->remove if $status == 0 && Test::More->builder->is_passing;

        $? = $status;
    }
}


1;
